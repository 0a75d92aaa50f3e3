from django.urls import path

from console.pubsub import recording_views, views

urlpatterns = [
    path("servers/<server:server>/pubsub/", views.pubsub, name="pubsub"),
    path("servers/<server:server>/pubsub/channels/", views.channels, name="pubsub_channels"),
    path("servers/<server:server>/pubsub/publish/", views.publish, name="pubsub_publish"),
    path("servers/<server:server>/pubsub/payload/", views.payload, name="pubsub_payload"),
    path("servers/<server:server>/pubsub/events/", views.events, name="pubsub_events"),
    path("servers/<server:server>/pubsub/set_events/", views.set_events, name="pubsub_set_events"),
    path("servers/<server:server>/pubsub/recordings/", recording_views.recordings, name="pubsub_recordings"),
    path(
        "servers/<server:server>/pubsub/recordings/<slug:number>/",
        recording_views.recording,
        name="pubsub_recording",
    ),
    path(
        "servers/<server:server>/pubsub/recordings/<slug:number>/download/",
        recording_views.download,
        name="pubsub_download",
    ),
    path(
        "servers/<server:server>/pubsub/recordings/<slug:number>/stop/",
        recording_views.stop,
        name="pubsub_stop",
    ),
    path(
        "servers/<server:server>/pubsub/recordings/<slug:number>/delete/",
        recording_views.delete,
        name="pubsub_delete",
    ),
]
