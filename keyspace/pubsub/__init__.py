"""Pub/Sub: publish, see which channels there are, and watch them live.

One road for a message: the server -> `wire` (hiredis) -> `link` (one connection, kept up) -> `hub` (routes it) -> `views` (guard,
filter, one frame for all who want the same) -> `viewers` (a bounded queue a person) and `recorder` (a file).

What counts as one message: what Redis delivers to a subscriber. A viewer that holds the channel ``a.b`` and the pattern ``a.*``
receives a message on ``a.b`` twice, each copy naming the subscription it came by, exactly as a client of its own would; viewers
never receive copies that only other viewers' subscriptions caused.
"""
