"""Backups, when they are made, and those that are open for reading."""

import uuid

from django.db import models
from django.utils import timezone

from keyspace.models.fields import Document, Sentence


class Schedule(models.Model):
    """When a server is backed up by itself, and which of those backups are kept.

    `at` is a time of day in `time_zone` for daily and weekly ones (`weekday` 0 is Monday); `hours` the distance of hourly ones.
    `next_at` is claimed by a conditional UPDATE, so that two processes never run it twice. `since`: when it was last switched on.
    """

    class Every(models.TextChoices):
        HOURS = "hours", "every few hours"
        DAY = "day", "every day"
        WEEK = "week", "every week"

    server = models.ForeignKey("keyspace.Server", models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=64)
    kind = models.CharField(max_length=12, default="auto")
    every = models.CharField(max_length=8, choices=Every, default=Every.DAY)
    hours = models.PositiveIntegerField(default=6)
    at = models.TimeField(default="03:00")
    weekday = models.PositiveIntegerField(default=6)
    time_zone = models.CharField(max_length=64, default="UTC")
    enabled = models.BooleanField(default=True)
    keep_last = models.PositiveIntegerField(default=3)
    keep_daily = models.PositiveIntegerField(default=7)
    keep_weekly = models.PositiveIntegerField(default=4)
    keep_monthly = models.PositiveIntegerField(default=6)
    max_age_hours = models.PositiveIntegerField(
        default=26, help_text="Alert when the newest verified backup is older."
    )
    webhook = models.URLField(blank=True, help_text="Gets a POST of JSON when a backup fails or is too old.")
    since = models.DateTimeField(default=timezone.now)
    next_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(null=True)
    last_problem = Sentence(max_length=500, blank=True)
    alerted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("server", "name"), name="schedule_name_is_unique"),)

    def __str__(self) -> str:
        return f"{self.name} of {self.server}"


class Backup(models.Model):
    """One backup of a server. `files` are its parts in the store, one a shard: name, size, sha256, node, format.

    `keys` maps a db (as text) to its number of keys. What stayed on the server has `parts` instead, one a node: node, place (where the
    file lies), size, keys, seconds, fork_ms; `place` is theirs in one line.
    """

    class Kind(models.TextChoices):
        SNAPSHOT = "snapshot", "Snapshot"
        AOF = "aof", "AOF rewrite"
        PULL = "pull", "Pull"
        EXPORT = "export", "Export"
        READABLE = "readable", "Readable export"
        UPLOAD = "upload", "Upload"

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        SAVED = "saved", "Saved on the server"
        WHOLE = "whole", "Whole, not loaded yet"
        LOADED = "loaded", "Loaded, counts match"
        UNVERIFIABLE = "unverifiable", "Whole, not verifiable here"
        TORN = "torn", "Not whole: slots moved"
        DAMAGED = "damaged", "Damaged"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        INTERRUPTED = "interrupted", "Interrupted"

    KEPT = (State.WHOLE, State.LOADED, State.UNVERIFIABLE, State.TORN, State.DAMAGED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    server = models.CharField(max_length=64, db_index=True)
    kind = models.CharField(max_length=12, choices=Kind)
    state = models.CharField(max_length=12, choices=State, default=State.RUNNING, db_index=True)
    state_note = Sentence(max_length=500, blank=True)
    person = models.CharField(max_length=255)
    schedule = models.ForeignKey(Schedule, models.SET_NULL, null=True, blank=True, related_name="backups")
    reason = Sentence(max_length=255, blank=True)
    job = models.ForeignKey("keyspace.Job", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    seconds = models.FloatField(null=True)
    size = models.BigIntegerField(null=True)
    files = models.JSONField(default=list)
    keys = models.JSONField(default=dict)
    server_keys = models.JSONField(default=dict)
    product = Sentence(max_length=64, blank=True)
    format = Sentence(max_length=32, blank=True)
    source = Sentence(max_length=255, blank=True)
    place = Sentence(max_length=500, blank=True)
    parts = Document(default=list)
    remark = Sentence(max_length=1000, blank=True)
    torn = Sentence(max_length=500, blank=True)
    verified_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (models.Index(fields=("server", "-created_at", "-id"), name="backup_history"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.server}, {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def total_keys(self) -> int | None:
        return sum(self.keys.values()) if self.keys else 0 if self.state == self.State.LOADED else None

    @property
    def milliseconds(self) -> float | None:
        """How long it took, as pages show durations."""
        return None if self.seconds is None else self.seconds * 1000

    @property
    def has_files(self) -> bool:
        return bool(self.files) and self.state in self.KEPT

    @property
    def usable(self) -> bool:
        """It can be opened and restored from."""
        return self.has_files and self.state in (self.State.WHOLE, self.State.LOADED, self.State.TORN)


class OpenBackup(models.Model):
    """A backup that is loaded in a scratch server and shown as the read-only Server `row`; `frozen_at`: its moment, Unix ms."""

    backup = models.OneToOneField(Backup, models.CASCADE, related_name="opened")
    row = models.OneToOneField("keyspace.Server", models.CASCADE, related_name="opened_backup")
    directory = models.CharField(max_length=500)
    pid = models.IntegerField()
    born = models.CharField(max_length=64)
    frozen_at = models.BigIntegerField(default=0)
    person = models.CharField(max_length=255)
    opened_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.backup} opened by {self.person}"


class BackupStatistics(models.Model):
    """What `statistics` found in a backup; apart from its row, because it is large and lists of backups do not need it."""

    backup = models.OneToOneField(Backup, models.CASCADE, related_name="statistics")
    report = Document(default=dict)
    person = models.CharField(max_length=255)
    made_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"statistics of {self.backup}"
