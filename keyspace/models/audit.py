"""The audit: an append-only table whose entries are chained by their hashes."""

import hashlib
import json
from typing import Any

from django.db import models


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
    person = models.CharField(max_length=255, db_index=True)
    address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    server = models.CharField(max_length=64, blank=True, db_index=True)
    db = models.IntegerField(null=True)
    operation = models.CharField(max_length=64, db_index=True)
    key = models.BinaryField(null=True)
    outcome = models.CharField(max_length=8, choices=Outcome)
    detail = models.JSONField(default=dict)
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.person} {self.operation} {self.outcome}"

    def digest(self) -> str:
        """The hash this entry should carry."""
        key = None if self.key is None else bytes(self.key).hex()
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
