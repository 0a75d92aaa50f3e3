from django.urls import include, path

from console.keys import key_views, ttl_views, views

urlpatterns = [
    path("servers/<server:server>/<int:db>/keys/", views.keys, name="keys"),
    path("servers/<server:server>/<int:db>/list/", views.list_, name="keys_list"),
    path("servers/<server:server>/<int:db>/rows/", views.rows, name="keys_rows"),
    path("servers/<server:server>/<int:db>/folder/", views.folder, name="keys_folder"),
    path("servers/<server:server>/<int:db>/count/", views.count, name="keys_count"),
    path("servers/<server:server>/<int:db>/start_count/", views.start_count, name="keys_start_count"),
    path("servers/<server:server>/<int:db>/stop_count/", views.stop_count, name="keys_stop_count"),
    path("servers/<server:server>/<int:db>/keys/<key:key>/", key_views.key, name="key"),
    path("servers/<server:server>/<int:db>/keys/<key:key>/pane/", key_views.pane, name="key_pane"),
    path("servers/<server:server>/<int:db>/keys/<key:key>/value/", key_views.value, name="key_value"),
    path("servers/<server:server>/<int:db>/keys/<key:key>/decoded/", key_views.decoded, name="key_decoded"),
    path("servers/<server:server>/<int:db>/keys/<key:key>/reveal/", key_views.reveal, name="key_reveal"),
    path(
        "servers/<server:server>/<int:db>/keys/<key:key>/download/", key_views.download, name="key_download"
    ),
    path("servers/<server:server>/<int:db>/keys/<key:key>/ttl/", ttl_views.ttl, name="key_ttl"),
    path("servers/<server:server>/<int:db>/keys/<key:key>/set_ttl/", ttl_views.set_ttl, name="key_set_ttl"),
    path("servers/<server:server>/<int:db>/keys/<key:key>/persist/", ttl_views.persist, name="key_persist"),
    path("", include("console.keys.edit_urls")),
    path("jump/", views.jump, name="jump"),
]
