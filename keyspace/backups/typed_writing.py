"""The commands that build a key from its readable form."""

from typing import Any

from keyspace.backups.typed import Command, Piece, plain_score, unpack


def write_commands(name: bytes, kind: str, piece: Piece) -> list[Command]:
    """The commands that add a piece to the key `name`. Raises ValueError for a piece that is not understood."""
    value = piece["value"]
    if kind == "string":
        return [("APPEND" if piece.get("append") else "SET", name, unpack(value))]
    if kind == "ReJSON-RL":
        return [("JSON.SET", name, "$", unpack(value))]
    if kind == "stream":
        return _stream_commands(name, piece)
    if not isinstance(value, list):
        raise ValueError("the value is not a list")
    if kind == "list":
        return [("RPUSH", name, *map(unpack, value))] if value else []
    if kind == "set":
        return [("SADD", name, *map(unpack, value))] if value else []
    if kind == "zset":
        return (
            [
                (
                    "ZADD",
                    name,
                    *(word for member, score in value for word in (plain_score(score), unpack(member))),
                )
            ]
            if value
            else []
        )
    if kind == "hash":
        return _hash_commands(name, value)
    raise ValueError(f"the type {kind!r} is not known")


def _hash_commands(name: bytes, rows: list[Any]) -> list[Command]:
    if not rows:
        return []
    commands: list[Command] = [("HSET", name, *(unpack(word) for row in rows for word in row[:2]))]
    ends: dict[int, list[bytes]] = {}
    for row in rows:
        if len(row) > 2:
            ends.setdefault(int(row[2]), []).append(unpack(row[0]))
    return commands + [
        ("HPEXPIREAT", name, end, "FIELDS", len(fields), *fields) for end, fields in ends.items()
    ]


def _stream_commands(name: bytes, piece: Piece) -> list[Command]:
    commands: list[Command] = [
        ("XADD", name, unpack(at), *map(unpack, words)) for at, words in piece["value"]
    ]
    groups = piece.get("groups") or []
    if "last_id" not in piece:
        return commands
    last = unpack(piece["last_id"])
    # An empty stream exists only through something that was added, or through a group.
    commands += [("XGROUP", "CREATE", name, b"\x00", "$", "MKSTREAM"), ("XGROUP", "DESTROY", name, b"\x00")]
    more: Command = (
        ("ENTRIESADDED", piece["added"], "MAXDELETEDID", unpack(piece["deleted"]))
        if piece.get("added") is not None
        else ()
    )
    commands += [("XSETID", name, last, *more)] if last != b"0-0" else []
    for group in groups:
        commands += _group_commands(name, group)
    return commands


def _group_commands(name: bytes, group: Piece) -> list[Command]:
    title = unpack(group["name"])
    read: Command = ("ENTRIESREAD", group["read"]) if group.get("read") is not None else ()
    commands: list[Command] = [("XGROUP", "CREATE", name, title, unpack(group["last_id"]), *read)]
    commands += [
        ("XGROUP", "CREATECONSUMER", name, title, unpack(consumer)) for consumer in group["consumers"]
    ]
    for entry, consumer, idle, times in group["pending"]:
        commands.append(
            (
                "XCLAIM",
                name,
                title,
                unpack(consumer),
                0,
                unpack(entry),
                "IDLE",
                int(idle),
                "RETRYCOUNT",
                int(times),
                "FORCE",
                "JUSTID",
            )
        )
    return commands
