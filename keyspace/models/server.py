"""Servers and who may use them."""

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.validators import RegexValidator
from django.db import models

from keyspace import secrets

server_name = RegexValidator(
    r"^[a-z0-9][a-z0-9_.-]*\Z", "Lower-case letters, digits, dots, dashes and underscores."
)


class Server(models.Model):
    """A Redis or Valkey endpoint, by name. What is configured outside (`source` not "stored") keeps its secrets there."""

    class Environment(models.TextChoices):
        NONE = "", "not said"
        PRODUCTION = "production", "production"
        STAGING = "staging", "staging"
        DEVELOPMENT = "development", "development"

    class Source(models.TextChoices):
        STORED = "stored", "the Servers page"
        ENVIRONMENT = "environment", "the environment (REDIS_HOST)"
        FILE = "file", "the file of CONSOLE_SERVERS"
        SAMPLE = "sample", "sample data"
        BACKUP = "backup", "an opened backup"

    name = models.CharField(max_length=64, unique=True, validators=[server_name])
    source = models.CharField(max_length=12, choices=Source, default=Source.STORED, editable=False)
    environment = models.CharField(max_length=12, choices=Environment, default=Environment.NONE, blank=True)
    read_only = models.BooleanField(
        default=False, help_text="Nobody can change anything on it from this console."
    )
    host = models.CharField(max_length=255, blank=True, default="127.0.0.1")
    port = models.PositiveIntegerField(default=6379)
    socket = models.CharField(
        "unix socket", max_length=255, blank=True, help_text="A path; used instead of host and port."
    )
    db = models.PositiveIntegerField("db", default=0, help_text="Shown first.")
    username = models.CharField("ACL user", max_length=255, blank=True)
    password_secret = models.TextField(blank=True, default="", editable=False)
    tls = models.BooleanField("TLS", default=False)
    tls_check_hostname = models.BooleanField("check the host name", default=True)
    ca_cert = models.TextField(
        "CA certificate (PEM)", blank=True, help_text="Empty: the system's certificates."
    )
    client_cert = models.TextField("client certificate (PEM)", blank=True)
    client_key_secret = models.TextField(blank=True, default="", editable=False)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def sample(self) -> bool:
        return self.source == self.Source.SAMPLE

    @property
    def password(self) -> str:
        return secrets.decrypt(self.password_secret)

    @password.setter
    def password(self, value: str) -> None:
        self.password_secret = secrets.encrypt(value)

    @property
    def client_key(self) -> str:
        return secrets.decrypt(self.client_key_secret)

    @client_key.setter
    def client_key(self, value: str) -> None:
        self.client_key_secret = secrets.encrypt(value)


class Grant(models.Model):
    """One role for one person or group on one server, or on all where `server` is None."""

    class Role(models.TextChoices):
        VIEWER = "viewer", "viewer"
        OPERATOR = "operator", "operator"
        ADMIN = "admin", "admin"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="grants"
    )
    group = models.ForeignKey(Group, models.CASCADE, null=True, blank=True, related_name="grants")
    server = models.ForeignKey(Server, models.CASCADE, null=True, blank=True, related_name="grants")
    role = models.CharField(max_length=12, choices=Role, default=Role.VIEWER)
    patterns = models.JSONField(
        default=list, blank=True, help_text="Only keys that match one of these; empty: all."
    )
    channels = models.JSONField(
        default=list, blank=True, help_text="Only channels that match one of these; empty: all."
    )
    masks = models.JSONField(
        default=list, blank=True, help_text="Values of keys that match are hidden until revealed."
    )

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, group__isnull=True)
                | models.Q(user__isnull=True, group__isnull=False),
                name="grant_is_for_a_user_or_a_group",
            ),
        )

    def __str__(self) -> str:
        return f"{self.user or self.group}: {self.role} on {self.server or 'all servers'}"
