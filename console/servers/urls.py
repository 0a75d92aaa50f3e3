from django.urls import path

from console.servers import stored_views, views

urlpatterns = [
    path("", views.home, name="home"),
    path("home/add_server/", stored_views.add_server, name="home_add_server"),
    path("home/check_server/", stored_views.check_new_server, name="home_check_server"),
    path("servers/<server:server>/", views.server, name="server"),
    path("servers/<server:server>/facts/", views.facts, name="server_facts"),
    path("servers/<server:server>/state/", views.state, name="server_state"),
    path("servers/<server:server>/change/", stored_views.change_server, name="server_change"),
    path("servers/<server:server>/check/", stored_views.check_server, name="server_check"),
    path("servers/<server:server>/remove/", stored_views.remove_server, name="server_remove"),
]
