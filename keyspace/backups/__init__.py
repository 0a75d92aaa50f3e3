"""Backups: snapshot, pull, export, verify, open, compare, restore, schedule."""
