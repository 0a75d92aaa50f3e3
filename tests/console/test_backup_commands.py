"""manage.py backup, backups, verify, restore: what cron and the night use."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from keyspace.backups import store
from keyspace.backups.slots import SlotWatch
from keyspace.models import AuditEntry, Backup, Server, TrashEntry
from tests.shared_servers import shared_server

pytestmark = pytest.mark.django_db(transaction=True)


def say(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_back_up_list_verify_restore(server_row: Server, redis: Any) -> None:
    redis.mset({"a": 1, b"b\xff": 2})
    assert "Loaded, counts match  2 keys" in say("backup", "test")
    backup = Backup.objects.get()
    assert str(backup.pk) in say("backups", "test")
    assert "Loaded, counts match" in say("verify", str(backup.pk)[:8])
    redis.delete("a")
    assert "new 1" in say("restore", str(backup.pk)[:8], "--to", "test")
    assert not redis.exists("a")
    assert "restored 1" in say("restore", str(backup.pk)[:8], "--to", "test", "--for-good")
    assert redis.get("a") == b"1"
    assert AuditEntry.objects.filter(person="shell", operation="restore_backup").count() == 2


def test_keys_that_nobody_counted_are_not_called_none(make_server: Any, server_row: Server) -> None:
    running = shared_server("redis8")
    with running.client() as client:
        client.set("a", 1)
    make_server(running, "newer")
    assert "Whole, not verifiable here  keys not counted" in say("backup", "newer", "--kind", "pull")


def test_one_that_is_not_whole_is_no_success(
    server_row: Server, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cron has to hear of it."""
    redis.set("a", 1)
    monkeypatch.setattr(SlotWatch, "what_moved", lambda watch: "While the shards were read, slots moved.")
    with pytest.raises(CommandError, match="not whole: make it again"):
        say("backup", "test")
    assert Backup.objects.get().state == "torn"


def test_function_libraries_are_told_of(server_row: Server, redis: Any) -> None:
    redis.function_load("#!lua name=lib\nredis.register_function('f', function() return 7 end)")
    say("backup", "test", "--kind", "readable")
    backup = str(Backup.objects.get().pk)
    redis.function_flush()
    assert "would be restored: lib." in say("restore", backup, "--to", "test")
    assert "The function libraries were restored." in say("restore", backup, "--to", "test", "--for-good")


def test_emptying_needs_the_name(server_row: Server, redis: Any) -> None:
    redis.set("a", 1)
    say("backup", "test", "--kind", "export")
    backup = str(Backup.objects.get().pk)
    redis.set("later", 1)
    with pytest.raises(CommandError, match="type its name"):
        say("restore", backup, "--to", "test", "--empty", "--for-good")
    assert redis.exists("later")
    assert "safety backup" in say(
        "restore", backup, "--to", "test", "--empty", "--confirm", "test", "--for-good"
    )
    assert not redis.exists("later")


def test_a_whole_server_from_a_temporary_primary(
    server_row: Server, redis: Any, new_server: Any, make_server: Any
) -> None:
    redis.set("a", 1)
    say("backup", "test")
    backup = str(Backup.objects.get().pk)
    redis.set("later", 1)
    whole = ("--empty", "--method", "primary", "--for-good", "--confirm")
    assert "restored 1" in say("restore", backup, "--to", "test", *whole, "test")
    assert redis.keys() == [b"a"]
    make_server(new_server("redis7"), "older")
    with pytest.raises(CommandError, match="Redis 7.0 does not read VALKEY080"):
        say("restore", backup, "--to", "older", *whole, "older")


def test_what_is_overwritten_is_in_the_trash_after_the_shell_too(server_row: Server, redis: Any) -> None:
    redis.set("a", "backup")
    say("backup", "test", "--kind", "export")
    redis.set("a", "before")
    said = say(
        "restore", str(Backup.objects.get().pk), "--to", "test", "--existing", "overwrite", "--for-good"
    )
    assert "different 1  restored 1" in said
    assert TrashEntry.objects.get().person == "shell"


def test_failures_end_with_an_error(server_row: Server, redis: Any) -> None:
    with pytest.raises(CommandError, match="no server"):
        say("backup", "elsewhere")
    with pytest.raises(CommandError, match="No backups begin"):
        say("verify", "ffffffff")
    redis.set("a", 1)
    say("backup", "test")
    backup = Backup.objects.get()
    path = store.directory() / backup.files[0]["name"]
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CommandError, match="damaged"):
        say("verify", str(backup.pk))
