from django.urls import path

from console.bulk import copy_views, export_views, import_views, views

urlpatterns = [
    path("servers/<server:server>/<int:db>/bulk/", views.bulk, name="bulk"),
    path("servers/<server:server>/<int:db>/bulk/<uuid:look_id>/", views.look, name="bulk_look"),
    path("servers/<server:server>/<int:db>/bulk/<uuid:look_id>/state/", views.state, name="bulk_state"),
    path(
        "servers/<server:server>/<int:db>/bulk/<uuid:job_id>/put-back/",
        views.put_back,
        name="bulk_put_back",
    ),
    path("servers/<server:server>/<int:db>/bulk/copy/", copy_views.copy, name="bulk_copy"),
    path(
        "servers/<server:server>/<int:db>/bulk/copy/<uuid:look_id>/",
        copy_views.copy_look,
        name="bulk_copy_look",
    ),
    path("servers/<server:server>/<int:db>/export/", export_views.export, name="export"),
    path(
        "servers/<server:server>/<int:db>/export/<key:key>/<slug:form>/",
        export_views.export_key,
        name="export_key",
    ),
    path("servers/<server:server>/<int:db>/import/", import_views.import_, name="import"),
    path(
        "servers/<server:server>/<int:db>/import/<uuid:preview_id>/",
        import_views.preview,
        name="import_preview",
    ),
    path(
        "servers/<server:server>/<int:db>/import/<uuid:preview_id>/state/",
        import_views.state,
        name="import_state",
    ),
    path("servers/<server:server>/exports/<uuid:job_id>/", export_views.export_file, name="export_file"),
]
