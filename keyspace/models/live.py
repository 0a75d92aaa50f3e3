"""What the live feature runs, in whichever process of the console: so that limits hold across all of them."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from keyspace.models.fields import Sentence


class LiveUse(models.Model):
    """One open live view, or one running recording (then `number` is the recording's).

    Its process says every few seconds that it is still there; a row that has not been `seen_at` for a while belongs to a process
    that died. `stop` is a wish of another process, in the words that end the recording.
    """

    class Kind(models.TextChoices):
        VIEW = "view", "live view"
        RECORDING = "recording", "recording"

    number = models.CharField(max_length=32, primary_key=True)
    kind = models.CharField(max_length=12, choices=Kind)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    process = models.CharField(max_length=32, db_index=True)
    seen_at = models.DateTimeField(default=timezone.now, db_index=True)
    stop = Sentence(max_length=255, blank=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"
