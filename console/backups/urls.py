from django.urls import path

from console.backups import inside_views, restore_views, schedule_views, upload_views, views

urlpatterns = [
    path("servers/<server:server>/backups/", views.backups, name="backups"),
    path("servers/<server:server>/backups/state/", views.state, name="backups_state"),
    path("servers/<server:server>/backups/checks/", views.checks, name="backups_checks"),
    path("servers/<server:server>/backups/start/", views.start, name="backups_start"),
    path("servers/<server:server>/backups/upload/", views.upload, name="backups_upload"),
    path("servers/<server:server>/backups/uploads/", upload_views.begin, name="backups_upload_begin"),
    path(
        "servers/<server:server>/backups/uploads/<str:token>/",
        upload_views.piece,
        name="backups_upload_piece",
    ),
    path(
        "servers/<server:server>/backups/uploads/<str:token>/finish/",
        upload_views.finish,
        name="backups_upload_finish",
    ),
    path("servers/<server:server>/backups/schedule/", schedule_views.schedule, name="backups_add_schedule"),
    path(
        "servers/<server:server>/backups/schedule/<int:number>/",
        schedule_views.schedule,
        name="backups_schedule",
    ),
    path(
        "servers/<server:server>/backups/schedule/<int:number>/remove/",
        schedule_views.remove,
        name="backups_remove_schedule",
    ),
    path("servers/<server:server>/backups/<uuid:backup_id>/", views.backup, name="backup"),
    path("servers/<server:server>/backups/<uuid:backup_id>/repeat/", views.repeat, name="backup_repeat"),
    path("servers/<server:server>/backups/<uuid:backup_id>/verify/", views.verify, name="backup_verify"),
    path("servers/<server:server>/backups/<uuid:backup_id>/open/", views.open_, name="backup_open"),
    path("servers/<server:server>/backups/<uuid:backup_id>/close/", views.close, name="backup_close"),
    path("servers/<server:server>/backups/<uuid:backup_id>/compare/", views.compare, name="backup_compare"),
    path(
        "servers/<server:server>/backups/<uuid:backup_id>/statistics/",
        inside_views.statistics,
        name="backup_statistics",
    ),
    path(
        "servers/<server:server>/backups/<uuid:backup_id>/statistics/analysis/",
        inside_views.analysis,
        name="backup_analysis",
    ),
    path(
        "servers/<server:server>/backups/<uuid:backup_id>/statistics/analyse/",
        inside_views.analyse,
        name="backup_analyse",
    ),
    path(
        "servers/<server:server>/backups/<uuid:backup_id>/compare/<uuid:job_id>/<slug:kind>/",
        inside_views.compared,
        name="backup_compared",
    ),
    path(
        "servers/<server:server>/backups/<uuid:backup_id>/compare/<uuid:job_id>/<int:db>/<key:key>/",
        inside_views.compared_key,
        name="backup_compared_key",
    ),
    path("servers/<server:server>/backups/<uuid:backup_id>/delete/", views.delete, name="backup_delete"),
    path(
        "servers/<server:server>/backups/<uuid:backup_id>/download/<int:number>/",
        views.download,
        name="backup_download",
    ),
    path(
        "servers/<server:server>/backups/<uuid:backup_id>/restore/",
        restore_views.restore,
        name="backup_restore",
    ),
    path(
        "servers/<server:server>/backups/<uuid:backup_id>/restore/<uuid:job_id>/",
        restore_views.dry,
        name="backup_dry",
    ),
    path(
        "servers/<server:server>/backups/<uuid:backup_id>/restore/<int:db>/selection/",
        restore_views.selection,
        name="backup_restore_selection",
    ),
    path("servers/<server:server>/backups/undo/<uuid:job_id>/", restore_views.undo, name="restore_undo"),
    path(
        "servers/<server:server>/backups/<uuid:backup_id>/restore/<int:db>/<key:key>/",
        restore_views.restore_key,
        name="backup_restore_key",
    ),
]
