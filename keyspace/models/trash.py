"""What keys held before they were deleted or changed, so that there is a way back."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from keyspace.models.fields import Document


class TrashEntry(models.Model):
    """The DUMP of a key (`payload`, zstd) as it was before `operation`, with its absolute expiry (Unix ms).

    `left` is the SHA-256 of the DUMP's content that the operation left behind ("" where it left no key): undoing goes by it. `preview` has
    rows of [text, whether masks hide it]. `dump_size` counts the bytes of the DUMP, `stored_size` those of `payload`. `job` is the
    restore or the bulk work that took the key away. Of a `part` of a key that is too large to be kept, `payload` and `left` are as
    `keyspace.parts` has them. While it is `in_doubt` whether the operation was done, `left` is the digest of what was there before, and ""
    once `keyspace.pending` has looked and found something else.
    """

    class Why(models.TextChoices):
        DELETED = "deleted", "deleted"
        EDITED = "edited", "before an edit"
        OVERWRITTEN = "overwritten", "overwritten"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    server = models.CharField(max_length=64, db_index=True)
    db = models.IntegerField()
    name = models.BinaryField()
    type = models.CharField(max_length=64)
    length = models.BigIntegerField(null=True)
    why = models.CharField(max_length=12, choices=Why)
    operation = models.CharField(max_length=64)
    person = models.CharField(max_length=255)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now, db_index=True)
    expires_at = models.BigIntegerField(null=True)
    payload = models.BinaryField()
    dump_size = models.BigIntegerField()
    stored_size = models.BigIntegerField()
    left = models.CharField(max_length=64, blank=True)
    preview = Document(default=list)
    restored_at = models.DateTimeField(null=True)
    job = models.ForeignKey("keyspace.Job", models.SET_NULL, null=True, related_name="trash")
    part = models.BooleanField(default=False)
    in_doubt = models.BooleanField(null=True)

    class Meta:
        ordering = ("-at",)
        indexes = (
            # The size of the trash is asked after each act: without reading what is in it.
            models.Index(fields=("stored_size",), name="trash_sizes"),
            models.Index(fields=("at",), name="trash_in_doubt", condition=models.Q(in_doubt=True)),
        )
        verbose_name_plural = "trash entries"

    def __str__(self) -> str:
        return f"{self.type} {self.why} on {self.server}"


class MadeKey(models.Model):
    """A key that a restore made anew, so that its Undo finds it; `left` as of TrashEntry."""

    job = models.ForeignKey("keyspace.Job", models.CASCADE, related_name="made")
    db = models.IntegerField()
    name = models.BinaryField()
    left = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"a key of db {self.db}, made by {self.job_id}"


class Once(models.Model):
    """A form that was sent: `token` is claimed by its insert, `answer` is what the act came to (None: it is still running)."""

    token = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    answer = Document(null=True)

    def __str__(self) -> str:
        return self.token[:8]
