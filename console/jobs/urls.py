from django.urls import path

from console.jobs import views

urlpatterns = [
    path("jobs/", views.jobs, name="jobs"),
    path("jobs/list/", views.list_, name="jobs_list"),
    path("jobs/<uuid:job_id>/", views.job, name="job"),
    path("jobs/<uuid:job_id>/progress/", views.progress, name="job_progress"),
    path("jobs/<uuid:job_id>/cancel/", views.cancel, name="job_cancel"),
    path("jobs/<uuid:job_id>/pause/", views.pause, name="job_pause"),
    path("jobs/<uuid:job_id>/restart/", views.restart, name="job_restart"),
    path("jobs/<uuid:job_id>/report.json", views.report, name="job_report"),
]
