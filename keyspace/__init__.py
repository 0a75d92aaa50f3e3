"""The service layer: what may be done to a Redis or Valkey server, who may do it, and what was done."""
