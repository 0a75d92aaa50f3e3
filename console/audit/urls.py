from django.urls import path

from console.audit import views

urlpatterns = [
    path("audit/", views.audit, name="audit"),
    path("audit/<int:number>/", views.entry, name="audit_entry"),
    path("audit/export.<slug:form>", views.export, name="audit_export"),
    path("audit/verify/", views.verify, name="audit_verify"),
]
