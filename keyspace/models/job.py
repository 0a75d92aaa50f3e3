"""Jobs: work that outlives the request that asked for it. The row is the truth about it."""

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from keyspace.models.fields import Document, Sentence


class Job(models.Model):
    """`done` of `total` are counted in `unit` (keys, bytes); `checkpoint` is where a resumable job goes on; `result` is its report.

    A worker claims a waiting row by a conditional UPDATE and then beats: a row that says running but has not beaten for a
    while belongs to a process that died.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        RUNNING = "running", "running"
        PAUSED = "paused", "paused"
        DONE = "done", "done"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"
        INTERRUPTED = "interrupted", "interrupted"

    UNFINISHED = (State.WAITING, State.RUNNING, State.PAUSED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=48, db_index=True)
    title = Sentence(max_length=255)
    server = models.CharField(max_length=64, blank=True, db_index=True)
    db = models.IntegerField(null=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    person = models.CharField(max_length=255)
    address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    params = Document(default=dict)
    once = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - NULL is "may repeat"

    state = models.CharField(max_length=12, choices=State, default=State.WAITING, db_index=True)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True)
    unit = Sentence(max_length=16, default="keys")
    phase = Sentence(max_length=255, blank=True)
    checkpoint = Document(default=dict)
    result = Document(default=dict)
    problem = models.TextField(blank=True)
    wants_cancel = models.BooleanField(default=False)
    wants_pause = models.BooleanField(default=False)
    worker = models.CharField(max_length=128, blank=True)

    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    started_at = models.DateTimeField(null=True)
    beat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.title} ({self.state})"

    @property
    def unfinished(self) -> bool:
        return self.state in self.UNFINISHED

    @property
    def active(self) -> bool:
        """It holds a worker now."""
        return self.state in (self.State.RUNNING, self.State.PAUSED)

    @property
    def percent(self) -> float | None:
        """0 to 100; None while it is not known how much there is."""
        if self.state == self.State.DONE:
            return 100.0
        return min(100.0, 100 * self.done / self.total) if self.total else None

    @property
    def seconds(self) -> float | None:
        """How long it has run, or ran."""
        return (
            ((self.finished_at or timezone.now()) - self.started_at).total_seconds()
            if self.started_at
            else None
        )

    @property
    def rate(self) -> int | None:
        """Units a second since it started."""
        return round(self.done / self.seconds) if self.seconds and self.done else None

    @property
    def seconds_left(self) -> float | None:
        if self.state != self.State.RUNNING or not self.total or not self.rate:
            return None
        return max(0.0, (self.total - self.done) / self.rate)

    @property
    def milliseconds(self) -> float | None:
        """`seconds`, as pages show durations."""
        return None if self.seconds is None else self.seconds * 1000

    @property
    def milliseconds_left(self) -> float | None:
        return None if self.seconds_left is None else self.seconds_left * 1000

    def param(self, name: str, default: Any = None) -> Any:
        return self.params.get(name, default)
