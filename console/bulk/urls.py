from django.urls import path

from console.bulk import views

urlpatterns = [
    path("servers/<server:server>/<int:db>/bulk/", views.bulk, name="bulk"),
    path("servers/<server:server>/<int:db>/bulk/<uuid:look_id>/", views.look, name="bulk_look"),
    path("servers/<server:server>/<int:db>/bulk/<uuid:look_id>/state/", views.state, name="bulk_state"),
]
