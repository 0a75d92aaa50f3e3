from django.urls import path

from console.trash import views

PLACE = "servers/<server:server>/<int:db>/trash/"
urlpatterns = [
    path(PLACE, views.trash, name="trash"),
    path(PLACE + "list/", views.list_, name="trash_list"),
    path(PLACE + "purge/", views.purge, name="trash_purge"),
    path(PLACE + "<uuid:entry>/", views.entry, name="trash_entry"),
    path(PLACE + "<uuid:entry>/undo/", views.undo, name="trash_undo"),
    path(PLACE + "<uuid:entry>/restore/", views.restore, name="trash_restore"),
    path(PLACE + "<uuid:entry>/purge/", views.purge_entry, name="trash_purge_entry"),
]
