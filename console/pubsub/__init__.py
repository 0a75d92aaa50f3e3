"""Pub/Sub: the page, and the socket behind it."""
