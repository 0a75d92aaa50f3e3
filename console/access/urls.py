from django.urls import path

from console.access import grant_views, views

urlpatterns = [
    path("access/", views.access, name="access"),
    path("access/add_person/", views.add_person, name="access_add_person"),
    path("access/people/<str:username>/", views.person, name="access_person"),
    path("access/people/<str:username>/renew_password/", views.renew_password, name="access_renew_password"),
    path(
        "access/people/<str:username>/remove_second_factor/",
        views.remove_second_factor,
        name="access_remove_second_factor",
    ),
    path("access/people/<str:username>/remove/", views.remove_person, name="access_remove_person"),
    path("access/add_group/", views.add_group, name="access_add_group"),
    path("access/groups/<str:group>/", views.group, name="access_group"),
    path("access/groups/<str:group>/remove/", views.remove_group, name="access_remove_group"),
    path("access/add_grant/", grant_views.add_grant, name="access_add_grant"),
    path("access/grants/<int:grant_id>/", grant_views.grant, name="access_grant"),
    path("access/grants/<int:grant_id>/remove/", grant_views.remove_grant, name="access_remove_grant"),
]
