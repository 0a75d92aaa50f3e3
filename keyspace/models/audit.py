"""The audit: an append-only table whose entries are chained by their hashes."""

import hashlib
import json
from typing import Any

from django.db import models

from keyspace.models.fields import Sentence


class Head(models.Func):
    """The first bytes of a key: an index over whole keys would refuse long ones, and the entry with them. The number stands in the
    SQL itself, or SQLite would not see that index and question are about the same."""

    BYTES = 64
    template = f"substr(%(expressions)s, 1, {BYTES})"
    output_field = models.BinaryField()


class AuditEntry(models.Model):
    """Who did what to which key, and how it ended; never a value.

    `hash` is SHA-256 over `previous` and the entry's own fields as canonical JSON, so that no entry can be changed,
    moved or taken out unseen. The database refuses UPDATE, and DELETE but of what retention has anchored (see migrations).
    """

    class Outcome(models.TextChoices):
        DONE = "done", "done"
        DENIED = "denied", "denied"
        FAILED = "failed", "failed"

    at = models.DateTimeField(db_index=True)
    person = models.CharField(max_length=255)
    address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    server = models.CharField(max_length=64, blank=True)
    db = models.IntegerField(null=True)
    operation = models.CharField(max_length=64)
    key = models.BinaryField(null=True)
    outcome = models.CharField(max_length=8, choices=Outcome)
    detail = models.JSONField(default=dict)
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "audit entries"
        # Each with the id behind it: a search reads its page from the newest entry on, without sorting what it found.
        indexes = (
            models.Index(fields=["person", "id"], name="audit_person"),
            models.Index(fields=["server", "id"], name="audit_server"),
            models.Index(fields=["operation", "id"], name="audit_operation"),
            models.Index(fields=["outcome", "id"], name="audit_outcome"),
            models.Index(Head("key"), "id", name="audit_key"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.person} {self.operation} {self.outcome}"

    @property
    def name(self) -> bytes | None:
        """The key as bytes, whatever the database makes of them."""
        return None if self.key is None else bytes(self.key)

    def digest(self) -> str:
        """The hash this entry should carry."""
        key = None if self.name is None else self.name.hex()
        parts: list[Any] = [
            self.previous,
            self.at.isoformat(),
            self.person,
            self.address,
            self.request_id,
            self.server,
        ]
        parts += [self.db, self.operation, key, self.outcome, self.detail]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class AuditChain(models.Model):
    """One row: where the chain ends, and where it begins after old entries were removed by retention."""

    last_hash = models.CharField(max_length=64, default="")
    entries = models.BigIntegerField(default=0)
    anchor_id = models.BigIntegerField(default=0)
    anchor_hash = models.CharField(max_length=64, default="")

    def __str__(self) -> str:
        return f"{self.entries} entries"


class AuditCheck(models.Model):
    """One row: how far the chain was verified.

    A walk begins at the anchor, goes on with new entries as they come, and begins anew once a day: `walk_id` and `walk_hash` are the
    last entry it has found right, `walked` how many. `whole_*` is when it last met the chain's end, at which entry, after how many, and
    who let it be walked. `broken_*` is what it found wrong; cleared by a walk that finds all of it right.
    """

    walk_began_at = models.DateTimeField(null=True)
    walk_id = models.BigIntegerField(default=0)
    walk_hash = models.CharField(max_length=64, default="")
    walked = models.BigIntegerField(default=0)
    whole_at = models.DateTimeField(null=True)
    whole_id = models.BigIntegerField(default=0)
    whole_entries = models.BigIntegerField(default=0)
    by = models.CharField(max_length=255, default="")
    broken_at = models.DateTimeField(null=True)
    broken_id = models.BigIntegerField(null=True)
    sentence = Sentence(max_length=255, default="")

    def __str__(self) -> str:
        return self.sentence if self.broken_at else f"whole up to entry {self.whole_id}"
