"""The rows the console keeps: one module a subject."""

from keyspace.models.audit import AuditChain, AuditEntry
from keyspace.models.server import Grant, Server

__all__ = ["AuditChain", "AuditEntry", "Grant", "Server"]
