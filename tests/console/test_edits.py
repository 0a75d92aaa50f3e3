"""Dialogs that change keys: what is offered to whom, conflicts, undo, once, and bytes that are not UTF-8."""

import gzip
import html
import json
import pickle
import re
from urllib.parse import quote

import msgpack
import pytest
import zstandard
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from console.keys import edit_forms, ttl_forms
from keyspace import images
from keyspace.encoding import key_id
from keyspace.models import AuditEntry, Server, TrashEntry
from keyspace.ttl import Expiry
from tests.people import sign_in
from tests.shared_servers import shared_server

pytestmark = pytest.mark.django_db
NAME = b"k\xff/ \x00"
HTMX = {"HX-Request": "true"}


def place(view, *more, name=NAME):
    return reverse(view, args=["test", 0, *([] if name is None else [name]), *more])


def page_of(answer):
    return answer.content.decode()


def hidden(answer, field="seen"):
    return html.unescape(re.search(rf'name="{field}" value="([^"]*)"', page_of(answer))[1])


def typed(answer):
    """What stands in the editor's textarea."""
    return html.unescape(
        re.search(r"<textarea name=\"value\"[^>]*>\r?\n?(.*?)</textarea>", page_of(answer), re.DOTALL)[1]
    )


def told(answer):
    return json.loads(answer["HX-Trigger"])


@pytest.fixture
def edit(operator_client):
    """`edit(slug, element, **typed)`: open the dialog, fill it in, send it."""

    def run(slug, element="", *, client=operator_client, **fields):
        of = f"?element={quote(element)}" if element else ""
        dialog = client.get(place("key_edit", slug) + of)
        assert dialog.status_code == 200, page_of(dialog)
        return client.post(
            place("key_apply_edit", slug) + of, {"seen": hidden(dialog)} | fields, headers=HTMX
        )

    return run


def test_a_string_is_edited_as_it_is_shown_and_undone(edit, operator_client, redis):
    redis.set(NAME, '{"a": 1.10, "b": [1, 2]}', px=100_000)
    dialog = operator_client.get(place("key_edit", "string-set"))
    assert '"a": 1.10' in typed(dialog) and hidden(dialog, "using") == "json"
    answer = edit(
        "string-set", value=typed(dialog).replace("1.10", "1e400").replace("\n", "\r\n"), using="json"
    )
    assert (
        answer.status_code == 200 and redis.get(NAME) == b'{"a": 1e400, "b": [1, 2]}' and redis.ttl(NAME) > 90
    )
    undone = operator_client.post(told(answer)["toast"]["undo"]["url"], headers=HTMX)
    assert (
        undone.status_code == 200 and redis.get(NAME) == b'{"a": 1.10, "b": [1, 2]}' and redis.ttl(NAME) > 90
    )


@pytest.mark.parametrize("using", ["text", "hex"])
def test_bytes_come_back_as_they_were(edit, operator_client, redis, using):
    value = bytes(range(256)) + b"\r\n<b>&\\"
    redis.set(NAME, value)
    dialog = operator_client.get(place("key_edit", "string-set") + f"?as={using}")
    assert hidden(dialog, "using") == using
    answer = edit("string-set", value=typed(dialog), using=using)
    assert answer.status_code == 200 and redis.get(NAME) == value


@pytest.mark.parametrize(
    ("encode", "decode", "using"),
    [
        (msgpack.packb, msgpack.unpackb, "msgpack"),
        (lambda value: gzip.compress(json.dumps(value).encode()), lambda data: json.loads(gzip.decompress(data)), "gzip+json"),
        (lambda value: zstandard.compress(msgpack.packb(value)), lambda data: msgpack.unpackb(zstandard.decompress(data)), "zstd+msgpack"),
    ],
)  # fmt: skip
def test_a_value_seen_through_a_decoder_is_edited_in_that_form_and_written_back_in_the_same(
    edit, operator_client, redis, encode, decode, using
):
    redis.set(NAME, encode({"paid": False, "lines": [1, 2]}))
    dialog = operator_client.get(place("key_edit", "string-set"))
    assert hidden(dialog, "using") == using and '"paid": false' in typed(dialog)
    answer = edit("string-set", value=typed(dialog).replace("false", "true"), using=using)
    assert answer.status_code == 200 and decode(redis.get(NAME)) == {"paid": True, "lines": [1, 2]}


def test_a_form_that_cannot_be_written_back_says_so_and_offers_bytes(edit, operator_client, redis):
    """A pickle is listed, never loaded; so there is no way back from the list."""
    value = pickle.dumps({"a": 1})
    redis.set(NAME, value)
    dialog = operator_client.get(place("key_edit", "string-set"))
    assert "could not be written back exactly, so its bytes are edited" in page_of(dialog)
    assert hidden(dialog, "using") == "text"
    assert edit("string-set", value=typed(dialog) + "!", using="text").status_code == 200
    assert redis.get(NAME) == value + b"!"


def test_a_conflict_shows_both_and_three_ways_on(operator_client, redis):
    redis.set(NAME, "one\ntwo\nthree")
    dialog = operator_client.get(place("key_edit", "string-set"))
    redis.set(NAME, "one\nTHEIRS\nthree")
    sent = {"seen": hidden(dialog), "value": "one\nMINE\nthree", "using": "text"}
    answer = operator_client.post(place("key_apply_edit", "string-set"), sent, headers=HTMX)
    body = page_of(answer)
    assert answer.status_code == 422 and "<del>THEIRS</del>" in body and "<ins>MINE</ins>" in body
    assert all(way in body for way in ("Take theirs", "Overwrite with mine", "Merge by hand"))
    assert redis.get(NAME) == b"one\nTHEIRS\nthree"
    merged = {"seen": hidden(answer), "value": "merged", "using": "text"}
    assert (
        operator_client.post(place("key_apply_edit", "string-set"), merged, headers=HTMX).status_code == 200
    )
    assert redis.get(NAME) == b"merged"


def test_overwriting_after_a_conflict_is_audited_as_such(operator_client, redis):
    redis.set(NAME, "a")
    dialog = operator_client.get(place("key_edit", "string-set"))
    redis.set(NAME, "b")
    sent = {"seen": hidden(dialog), "value": "c", "using": "text"}
    answer = operator_client.post(place("key_apply_edit", "string-set"), sent, headers=HTMX)
    redis.set(NAME, "b again")
    over = sent | {"seen": hidden(answer), "overwrite": "1"}
    assert operator_client.post(place("key_apply_edit", "string-set"), over, headers=HTMX).status_code == 200
    assert redis.get(NAME) == b"c" and AuditEntry.objects.latest("id").detail["overwrote"] is True


def test_sent_twice_it_is_done_once_and_answers_alike(operator_client, redis):
    redis.rpush(NAME, "a")
    dialog = operator_client.get(place("key_edit", "list-push"))
    sent = {"seen": hidden(dialog), "value": "b", "using": "text", "side": "tail"}
    answers = [
        operator_client.post(place("key_apply_edit", "list-push"), sent, headers=HTMX) for _ in range(3)
    ]
    assert redis.lrange(NAME, 0, -1) == [b"a", b"b"] and TrashEntry.objects.count() == 1
    assert len({answer["HX-Trigger"] for answer in answers}) == 1


def test_what_is_not_valid_comes_back_with_what_was_typed_and_may_be_sent_again(edit, operator_client, redis):
    redis.set(NAME, '{"a": 1}')
    answer = edit("string-set", value='{"a": <oops', using="json")
    assert answer.status_code == 422 and typed(answer) == '{"a": <oops' and hidden(answer, "using") == "json"
    again = {"seen": hidden(answer), "value": '{"a": 2}', "using": "json"}
    assert operator_client.post(place("key_apply_edit", "string-set"), again, headers=HTMX).status_code == 200
    assert redis.get(NAME) == b'{"a": 2}'


def test_a_form_of_another_person_or_key_is_refused(operator_client, admin_client, redis):
    redis.set(NAME, "a")
    redis.set("other", "a")
    seen = hidden(operator_client.get(place("key_edit", "string-set")))
    sent = {"seen": seen, "value": "b", "using": "text"}
    assert admin_client.post(place("key_apply_edit", "string-set"), sent).status_code == 400
    assert operator_client.post(place("key_apply_edit", "string-set", name=b"other"), sent).status_code == 400
    assert operator_client.post(place("key_apply_edit", "string-append"), sent).status_code == 400
    assert (
        operator_client.post(place("key_apply_edit", "string-set"), sent | {"seen": "x"}).status_code == 400
    )
    assert redis.get(NAME) == b"a" and redis.get("other") == b"a"


def test_fields_elements_members_and_entries_are_edited_from_their_rows(edit, operator_client, redis):
    field = b"f\xff<"
    redis.hset(NAME, mapping={field: "1", "other": "2"})
    page = page_of(operator_client.get(reverse("key", args=["test", 0, NAME])))
    assert f"{place('key_edit', 'hash-set')}?element={key_id(field)}" in page
    assert edit("hash-set", key_id(field), value="new", using="text").status_code == 200
    assert redis.hget(NAME, field) == b"new"
    gone = edit("hash-delete", key_id(field))
    assert gone.status_code == 200 and not redis.hexists(NAME, field)


def test_a_key_that_ends_with_its_last_element_says_so(edit, redis):
    redis.sadd(NAME, b"m\xff")
    answer = edit("set-remove", key_id(b"m\xff"))
    assert "is gone" in told(answer)["toast"]["text"]
    assert told(answer)["key-changed"]["gone"] == reverse("key", args=["test", 0, NAME])


def test_a_file_is_uploaded_as_it_is(edit, redis):
    redis.set(NAME, "old")
    assert edit("string-upload", file=SimpleUploadedFile("x", b"\x00\xff\r\n")).status_code == 200
    assert redis.get(NAME) == b"\x00\xff\r\n"


@pytest.mark.parametrize(
    ("slug", "element", "write"),
    [
        ("string-set", "", lambda redis, value: redis.set(NAME, value)),
        ("hash-set", key_id(b"f"), lambda redis, value: redis.hset(NAME, "f", value)),
        ("list-set", "0", lambda redis, value: redis.rpush(NAME, value)),
    ],
)
def test_a_value_too_long_for_the_editor_offers_a_file_instead(
    edit, operator_client, redis, slug, element, write
):
    write(redis, "x" * (1024 * 1024 + 1))
    page = page_of(operator_client.get(place("key_edit", slug), {"element": element}))
    upload = slug.replace("set", "upload")
    assert "too long for the editor" in page and place("key_edit", upload) in page
    assert "<textarea" not in page and "Save</button>" not in page
    assert edit(upload, element, file=SimpleUploadedFile("x", b"\xff")).status_code == 200
    assert b"\xff" in (redis.get(NAME) if slug == "string-set" else redis.dump(NAME))


def test_a_value_too_large_to_edit_says_so(operator_client, redis):
    redis.setrange(NAME, 64 * 1024 * 1024, "x")
    assert "can only be read" in page_of(operator_client.get(place("key_edit", "string-set")))


@pytest.mark.parametrize(
    ("view", "more"),
    [
        ("key_edit", ["string-set"]),
        ("key_edit", ["string-append"]),
        ("key_deletion", []),
        ("key_renaming", []),
        ("key_copying", []),
        ("key_ttl", []),
        ("keys_new", None),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_viewer_is_offered_no_dialog_and_opens_none_by_its_address(
    viewer_client, operator_client, server_row, redis, view, more, read_only
):
    """On a server marked read-only neither does an operator; a copy may still go elsewhere from there."""
    redis.set(NAME, "a")
    Server.objects.filter(pk=server_row.pk).update(read_only=read_only)
    client = operator_client if read_only else viewer_client
    address = place(view, name=None) if more is None else place(view, *more)
    assert address not in page_of(client.get(reverse("key", args=["test", 0, NAME])))
    answer = client.get(address)
    if read_only and view == "key_copying":
        assert answer.status_code == 200 and "marked read-only" in page_of(answer)
        return
    told = "marked read-only" if read_only else "Your role here does not let you"
    assert answer.status_code == 403 and told in page_of(answer)


@pytest.mark.parametrize(
    ("view", "act", "sent", "operation"),
    [
        ("key_delete", "delete", {}, "delete_keys"),
        ("key_rename", "rename", {"to": "new"}, "rename_key"),
        ("key_copy", "copy", {"to": "new", "server": "test", "db": "0"}, "copy_targets"),
        ("keys_create", "create", {"name": "new", "value": "a", "using": "text"}, "create_key"),
        ("key_set_ttl", None, {"way": "in", "duration": "1h"}, "set_ttl"),
        ("key_persist", None, {}, "persist"),
        ("key_apply_edit", "edit", {"value": "b", "using": "text"}, "edit_key"),
    ],
)
def test_a_viewers_post_changes_nothing_and_is_audited(
    viewer, viewer_client, rf, redis, view, act, sent, operation
):
    """Even with a form that this console has made for them."""
    redis.set(NAME, "a", px=100_000)
    request, of = rf.get("/"), NAME if act != "create" else b""
    request.user = viewer
    if act is None:
        ttl = redis.pttl(NAME)
        seen = ttl_forms.sign_seen(Expiry("string", redis.execute_command("PEXPIRETIME", NAME), ttl))
    elif act == "edit":
        seen = edit_forms.sign_seen(request, repr(("test", 0, NAME, "string-set", "")))
    else:
        seen = edit_forms.sign_seen(request, repr((act, "test", 0, of)))
    address = place(view, *(["string-set"] if act == "edit" else []), name=None if act == "create" else NAME)
    answer = viewer_client.post(
        address + ("?kind=string-set" if act == "create" else ""), {"seen": seen} | sent
    )
    assert answer.status_code == 403 and "Your role here does not let you" in page_of(answer)
    assert redis.keys("*") == [NAME] and redis.get(NAME) == b"a" and redis.pttl(NAME) > 90_000
    if view != "key_copy":
        assert AuditEntry.objects.get(operation=operation).outcome == "denied"


def test_delete_says_what_goes_and_undo_brings_it_back_with_its_expiry(operator_client, redis):
    redis.hset(NAME, mapping={b"\xff": "1"})
    redis.pexpire(NAME, 100_000)
    at = redis.execute_command("PEXPIRETIME", NAME)
    dialog = operator_client.get(place("key_deletion"))
    assert "goes into the trash" in page_of(dialog)
    sent = {"seen": hidden(dialog)}
    answer = operator_client.post(place("key_delete"), sent, headers=HTMX)
    assert answer.status_code == 200 and not redis.exists(NAME)
    assert operator_client.post(place("key_delete"), sent, headers=HTMX)["HX-Trigger"] == answer["HX-Trigger"]
    undo = told(answer)["toast"]["undo"]["url"]
    assert operator_client.post(undo, headers=HTMX).status_code == 200
    assert redis.hgetall(NAME) == {b"\xff": b"1"} and redis.execute_command("PEXPIRETIME", NAME) == at


def test_a_key_too_large_for_the_trash_is_asked_for(operator_client, redis, settings):
    settings.TRASH_KEY_BYTES = 10
    redis.set(NAME, "x" * 100)
    dialog = operator_client.get(place("key_deletion"))
    assert "no way back" in page_of(dialog)
    answer = operator_client.post(place("key_delete"), {"seen": hidden(dialog)}, headers=HTMX)
    assert answer.status_code == 422 and redis.exists(NAME)
    sent = {"seen": hidden(answer), "without_trash": "on"}
    assert operator_client.post(place("key_delete"), sent, headers=HTMX).status_code == 200
    assert not redis.exists(NAME) and not TrashEntry.objects.exists()


def test_rename_never_overwrites_and_is_undone(operator_client, redis):
    redis.set(NAME, "a", px=100_000)
    redis.set("taken", "b")
    dialog = operator_client.get(place("key_renaming"))
    sent = {"seen": hidden(dialog), "to": "taken"}
    refused = operator_client.post(place("key_rename"), sent, headers=HTMX)
    assert refused.status_code == 422 and "exists already" in page_of(refused) and redis.get("taken") == b"b"
    answer = operator_client.post(
        place("key_rename"), {"seen": hidden(refused), "to": r"n\xfe"}, headers=HTMX
    )
    assert answer["HX-Push-Url"] == reverse("key", args=["test", 0, b"n\xfe"])
    assert redis.get(b"n\xfe") == b"a" and redis.pttl(b"n\xfe") > 0
    assert operator_client.post(told(answer)["toast"]["undo"]["url"], headers=HTMX).status_code == 200
    assert redis.get(NAME) == b"a" and not redis.exists(b"n\xfe")


def test_a_copy_to_another_db_keeps_the_expiry(operator_client, redis, server):
    redis.set(NAME, "a", px=100_000)
    dialog = operator_client.get(place("key_copying"))
    sent = {"seen": hidden(dialog), "to": r"copy\xff", "server": "test", "db": "3"}
    answer = operator_client.post(place("key_copy"), sent, headers=HTMX)
    with server.client(db=3) as other:
        assert other.get(b"copy\xff") == b"a" and other.pttl(b"copy\xff") > 0
        undone = operator_client.post(told(answer)["toast"]["undo"]["url"], headers=HTMX)
        assert not other.exists(b"copy\xff") and redis.get(NAME) == b"a"
        again = operator_client.post(told(undone)["toast"]["undo"]["url"], headers=HTMX)
        assert again.status_code == 200 and other.get(b"copy\xff") == b"a"


def test_a_copy_beside_its_original_is_undone(operator_client, redis):
    redis.set(NAME, "a")
    sent = {
        "seen": hidden(operator_client.get(place("key_copying"))),
        "to": r"c\xff",
        "server": "test",
        "db": "0",
    }
    answer = operator_client.post(place("key_copy"), sent, headers=HTMX)
    assert redis.get(b"c\xff") == b"a"
    assert operator_client.post(told(answer)["toast"]["undo"]["url"], headers=HTMX).status_code == 200
    assert not redis.exists(b"c\xff")


@pytest.mark.parametrize(
    ("kind", "fields", "type_"),
    [
        ("string-set", {"value": "a", "using": "text"}, b"string"),
        ("string-set", {"value": "", "using": "text"}, b"string"),
        ("hash-add", {"field": "f", "value": "v", "using": "text"}, b"hash"),
        ("list-push", {"side": "tail", "value": "v", "using": "text"}, b"list"),
        ("set-add", {"members": "a\nb"}, b"set"),
        ("zset-add", {"member": "m", "score": "1.5"}, b"zset"),
        ("stream-add", {"pairs": "a=b", "id": "*"}, b"stream"),
    ],
)
def test_a_key_of_each_type_is_created_only_if_there_is_none(operator_client, redis, kind, fields, type_):
    dialog = operator_client.get(place("keys_new", name=None) + f"?kind={kind}")
    assert dialog.status_code == 200
    sent = {"seen": hidden(dialog), "name": r"new\xff", "ttl": "1h"} | fields
    answer = operator_client.post(place("keys_create", name=None) + f"?kind={kind}", sent, headers=HTMX)
    assert answer.status_code == 200, page_of(answer)
    assert redis.type(b"new\xff") == type_ and 3_590_000 < redis.pttl(b"new\xff") <= 3_600_000
    assert operator_client.post(told(answer)["toast"]["undo"]["url"], headers=HTMX).status_code == 200
    assert not redis.exists(b"new\xff")
    sent["seen"] = hidden(operator_client.get(place("keys_new", name=None)))
    operator_client.post(place("keys_create", name=None) + f"?kind={kind}", sent, headers=HTMX)
    again = operator_client.post(
        place("keys_create", name=None) + f"?kind={kind}", sent | {"seen": hidden(operator_client.get(place("keys_new", name=None)))},
        headers=HTMX,
    )  # fmt: skip
    assert again.status_code == 422 and "exists already" in page_of(again)


def test_a_change_of_the_ttl_is_undone(operator_client, redis):
    redis.set(NAME, "a", px=100_000)
    at = redis.execute_command("PEXPIRETIME", NAME)
    dialog = operator_client.get(place("key_ttl"))
    answer = operator_client.post(place("key_persist"), {"seen": hidden(dialog)}, headers=HTMX)
    assert redis.pttl(NAME) == -1
    assert operator_client.post(told(answer)["toast"]["undo"]["url"], headers=HTMX).status_code == 200
    assert redis.execute_command("PEXPIRETIME", NAME) == at


def set_into_the_past(client, of="", **more):
    """The dialog that asks, and the answer to a yes."""
    sent = {"seen": hidden(client.get(place("key_ttl") + of)), "way": "at", "at": "2001-01-01T00:00"}
    asked = client.post(place("key_set_ttl") + of, sent, headers=HTMX)
    assert asked.status_code == 422 and 'name="may_delete"' in page_of(asked)
    sent |= {"seen": hidden(asked), "may_delete": "on"} | more
    return asked, client.post(place("key_set_ttl") + of, sent, headers=HTMX)


def test_a_ttl_in_the_past_deletes_through_the_trash_and_is_undone(operator_client, redis):
    redis.set(NAME, b"\xff", px=100_000)
    at = redis.execute_command("PEXPIRETIME", NAME)
    _, answer = set_into_the_past(operator_client)
    assert not redis.exists(NAME)
    assert told(answer)["key-changed"]["gone"] == reverse("key", args=["test", 0, NAME])
    kept = TrashEntry.objects.get()
    assert kept.why == "deleted" and AuditEntry.objects.get(operation="set_ttl", outcome="done").detail[
        "trash"
    ] == str(kept.pk)
    assert operator_client.post(told(answer)["toast"]["undo"]["url"], headers=HTMX).status_code == 200
    assert redis.get(NAME) == b"\xff" and redis.execute_command("PEXPIRETIME", NAME) == at


@pytest.mark.parametrize("small", [True, False])
def test_a_field_whose_ttl_is_set_into_the_past_is_undone(operator_client, redis, monkeypatch, small):
    if not small:
        monkeypatch.setattr(images, "EDITED_UP_TO", 0)
    redis.hset(NAME, mapping={b"f\xff": b"\xfe", "other": "1"})
    _, answer = set_into_the_past(operator_client, f"?field={key_id(b'f' + bytes([255]))}")
    assert redis.hkeys(NAME) == [b"other"] and TrashEntry.objects.get().why == "edited"
    assert TrashEntry.objects.get().part is not small
    assert operator_client.post(told(answer)["toast"]["undo"]["url"], headers=HTMX).status_code == 200
    assert redis.hget(NAME, b"f\xff") == b"\xfe"


def test_a_ttl_in_the_past_of_a_key_too_large_for_the_trash_says_so_before(operator_client, redis, settings):
    settings.TRASH_KEY_BYTES = 10
    redis.set(NAME, "x" * 100)
    asked, answer = set_into_the_past(operator_client)
    assert "no way back" in page_of(asked) and not redis.exists(NAME) and not TrashEntry.objects.exists()
    assert "undo" not in told(answer)["toast"] and "no way back" in told(answer)["toast"]["more"]


def test_a_condition_that_does_not_hold_deletes_nothing_and_keeps_nothing(operator_client, redis):
    redis.set(NAME, "a", px=100_000)
    _, answer = set_into_the_past(operator_client, condition="NX")
    assert (
        redis.exists(NAME)
        and not TrashEntry.objects.exists()
        and "stays as it was" in told(answer)["toast"]["text"]
    )


def test_a_ttl_sent_twice_is_set_once_and_answers_alike(operator_client, redis):
    redis.set(NAME, "a", px=100_000)
    sent = {"seen": hidden(operator_client.get(place("key_ttl"))), "way": "extend", "duration": "1h"}
    answers = [operator_client.post(place("key_set_ttl"), sent, headers=HTMX) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200] and redis.pttl(NAME) < 3_700_001
    assert json.loads(answers[0]["HX-Trigger"]) == json.loads(answers[1]["HX-Trigger"])


def test_a_rename_of_a_key_that_became_another_type_is_refused(operator_client, redis):
    redis.set(NAME, "a")
    dialog = operator_client.get(place("key_renaming"))
    redis.delete(NAME)
    redis.rpush(NAME, "a")
    sent = {"seen": hidden(dialog), "to": "new"}
    answer = operator_client.post(place("key_rename"), sent, headers=HTMX)
    assert answer.status_code == 422 and "is a list now" in page_of(answer) and redis.keys("*") == [NAME]


def test_a_copy_to_an_older_server_says_what_stands_in_the_way_before(admin_client, make_server, redis):
    make_server(shared_server("redis7"), name="older")
    redis.set(NAME, "a")
    dialog = page_of(admin_client.get(place("key_copying") + "?server=older"))
    assert "is older and does not read" in dialog
    assert '<option value="test">' in dialog and '<option value="older" selected>' in dialog


def test_an_undo_is_for_who_may_make_the_change(operator_client, viewer_client, nobody_client, redis):
    redis.set(NAME, "a", px=100_000)
    ttl = operator_client.post(
        place("key_persist"), {"seen": hidden(operator_client.get(place("key_ttl")))}, headers=HTMX
    )
    dialog = operator_client.get(place("key_edit", "string-set"))
    sent = {"seen": hidden(dialog), "value": "b", "using": "text"}
    edited = operator_client.post(place("key_apply_edit", "string-set"), sent, headers=HTMX)
    about = {"seen": hidden(operator_client.get(place("keys_new", name=None))), "name": "new"}
    created = operator_client.post(
        place("keys_create", name=None) + "?kind=string-set", about | {"value": "a", "using": "text"}, headers=HTMX
    )  # fmt: skip
    for answer in (ttl, edited, created):
        undo = told(answer)["toast"]["undo"]["url"]
        assert viewer_client.post(undo, headers=HTMX).status_code == 403
        assert nobody_client.post(undo, headers=HTMX).status_code == 404
    assert redis.get(NAME) == b"b" and redis.pttl(NAME) == -1 and redis.get("new") == b"a"


def test_an_undo_that_is_not_ours_is_refused(operator_client, redis):
    redis.set(NAME, "a")
    assert operator_client.post(place("key_undo") + "?act=forged").status_code == 410


def test_every_dialog_of_every_edit_opens(operator_client, redis):
    from tests.keyspace.test_edits import CASES
    from tests.keyspace.test_edits import NAME as THEIRS

    for slug, write, element, *_ in CASES:
        redis.flushdb()
        write(redis)
        answer = operator_client.get(place("key_edit", slug, name=THEIRS), {"element": element})
        assert answer.status_code == 200 and 'name="seen"' in page_of(answer), slug
        page = operator_client.get(reverse("key", args=["test", 0, THEIRS]))
        assert page.status_code == 200, slug


def test_where_the_server_does_not_dump_the_dialog_says_before_that_there_is_no_undo(
    new_server, make_server, make_person
):
    running = new_server(acl=["narrow on >pw ~* +@all -dump"])
    running.client().set(NAME, "v")
    make_server(running, username="narrow", password="pw")
    client = sign_in(make_person("ana", "operator"))
    assert "there will be no Undo" in page_of(client.get(place("key_edit", "string-set")))
