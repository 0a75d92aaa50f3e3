"""The rows the console keeps: one module a subject."""

from keyspace.models.audit import AuditChain, AuditCheck, AuditEntry
from keyspace.models.backup import Backup, BackupStatistics, OpenBackup, Schedule
from keyspace.models.job import Job
from keyspace.models.live import LiveUse
from keyspace.models.server import Grant, Server
from keyspace.models.trash import MadeKey, Once, TrashEntry

__all__ = [
    "AuditChain",
    "AuditCheck",
    "AuditEntry",
    "Backup",
    "BackupStatistics",
    "Grant",
    "Job",
    "LiveUse",
    "MadeKey",
    "Once",
    "OpenBackup",
    "Schedule",
    "Server",
    "TrashEntry",
]
