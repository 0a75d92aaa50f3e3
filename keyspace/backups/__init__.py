"""Backups: snapshot, pull, export, verify, open, compare, restore, schedule. Importing it declares their kinds of jobs."""
