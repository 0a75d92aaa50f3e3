from django.apps import AppConfig


class KeyspaceConfig(AppConfig):
    name = "keyspace"
    default_auto_field = "django.db.models.BigAutoField"
