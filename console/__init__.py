"""The console: pages, forms, sockets, commands and settings. It talks to people; `keyspace` talks to Redis."""
