"""Telling a schedule's webhook what went wrong, and keeping it in the schedule's row for its page."""

import json
import logging
import urllib.request

from keyspace.models import Backup, Schedule

log = logging.getLogger(__name__)
_WEBHOOK_SECONDS = 5


def tell(schedule: Schedule, event: str, sentence: str) -> None:
    """POST to the schedule's webhook, if it has one; what comes of it is only logged."""
    if not schedule.webhook.startswith(("http://", "https://")):
        return
    facts = {
        "event": f"backup {event}",
        "server": schedule.server.name,
        "schedule": schedule.name,
        "sentence": sentence,
    }
    request = urllib.request.Request(
        schedule.webhook, json.dumps(facts).encode(), {"Content-Type": "application/json"}
    )
    try:
        urllib.request.urlopen(request, timeout=_WEBHOOK_SECONDS).close()
    except Exception as error:
        log.warning("webhook of schedule %s: %s", schedule.pk, type(error).__name__)


def tell_of(backup: Backup, event: str, sentence: str) -> None:
    """A backup that failed, or was found damaged: its schedule's page and webhook say so, and the log in any case.

    That one which a person made has rotted is told by every schedule of its server: nobody is waiting for it.
    """
    log.error("backup %s of %s %s: %s", backup.pk, backup.server, event, sentence)
    schedules = [backup.schedule] if backup.schedule else []
    if not schedules and event == "damaged":
        schedules = list(Schedule.objects.filter(server__name=backup.server, enabled=True))
    for schedule in schedules:
        Schedule.objects.filter(pk=schedule.pk).update(last_problem=sentence[:500])
        tell(schedule, event, sentence)
