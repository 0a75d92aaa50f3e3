from django.urls import path

from console.keys import change_views, edit_views

KEY = "servers/<server:server>/<int:db>/keys/<key:key>/"
urlpatterns = [
    path(KEY + "edit/<slug:slug>/", edit_views.edit, name="key_edit"),
    path(KEY + "apply_edit/<slug:slug>/", edit_views.apply_edit, name="key_apply_edit"),
    path(KEY + "deletion/", change_views.deletion, name="key_deletion"),
    path(KEY + "delete/", change_views.delete, name="key_delete"),
    path(KEY + "renaming/", change_views.renaming, name="key_renaming"),
    path(KEY + "rename/", change_views.rename, name="key_rename"),
    path(KEY + "copying/", change_views.copying_, name="key_copying"),
    path(KEY + "copy/", change_views.copy, name="key_copy"),
    path(KEY + "undo/", change_views.undo, name="key_undo"),
    path("servers/<server:server>/<int:db>/new_key/", change_views.new_key, name="keys_new"),
    path("servers/<server:server>/<int:db>/create_key/", change_views.create, name="keys_create"),
]
