"""Exports: whole, typed, without what is masked, and taken back by any generation."""

import csv
import io
import json
from typing import Any

import pytest

from keyspace import exports, job_worker
from keyspace.backups.archive import ArchiveReader
from keyspace.backups.rdb import Damaged
from keyspace.backups.readable import read_pieces
from keyspace.bulk.choice import Choice
from keyspace.errors import BadInput, Denied, NotFound
from keyspace.keys import Filter
from keyspace.models import AuditEntry, Grant, Job
from keyspace.servers import open_connection
from tests.keyspace.types.samples import NAME

pytestmark = pytest.mark.django_db(transaction=True)
BYTES = b"e:\xff\x00\n"
ALL = Choice(Filter(b"e:*"))


def fill(redis: Any) -> None:
    redis.set(BYTES, b"\xfe\x00", px=900_000)
    redis.set("e:text", "ä")
    redis.hset("e:h", mapping={b"\xff": "1", "b": "=2+2"})
    redis.rpush("e:l", "a", "b", "c")
    redis.sadd("e:s", "a", b"\xff")
    redis.zadd("e:z", {"a": 0.1, "b": float("inf")})
    redis.xadd("e:x", {"f": "v"}, id="1-1")
    redis.set("other", 1)


def whole(file: exports.ExportFile) -> bytes:
    return b"".join(file.chunks)


def test_an_archive_has_every_chosen_key_with_its_absolute_expiry(
    any_server: Any, any_redis: Any, make_server: Any, connection_as: Any
) -> None:
    fill(any_redis)
    connection = connection_as("operator", server=make_server(any_server))
    file = exports.export_keys(connection, choice=ALL, form="archive")
    assert file.name.startswith("test-db0-") and file.name.endswith(".ksarch")
    reader = ArchiveReader(io.BytesIO(whole(file)))
    found = {dump.name: dump for _, page in reader.pages() for dump in page}
    assert set(found) == set(any_redis.keys("e:*")) and reader.trailer
    assert found[BYTES].payload == any_redis.dump(BYTES)
    assert abs(found[BYTES].expires - any_redis.pttl(BYTES) - int(any_redis.time()[0]) * 1000) < 2000
    assert reader.header["version"] and reader.header["db"] == 0


@pytest.mark.parametrize("form", ["lines", "packed"])
def test_lines_are_typed_and_whole(
    any_server: Any, any_redis: Any, make_server: Any, connection_as: Any, form: str
) -> None:
    fill(any_redis)
    connection = connection_as("operator", server=make_server(any_server))
    data = whole(exports.export_keys(connection, choice=ALL, form=form))
    pieces = {piece.name: piece for piece in read_pieces(io.BytesIO(data))}
    assert {name: piece.type for name, piece in pieces.items()} == {
        name: any_redis.type(name).decode() for name in any_redis.keys("e:*")
    }
    if form == "lines":
        lines = [json.loads(line) for line in data.splitlines()]
        assert next(line for line in lines if line.get("name") == "e:l")["value"] == ["a", "b", "c"]


def test_an_archive_that_breaks_off_is_seen_to_be_cut(redis: Any, connection_as: Any) -> None:
    fill(redis)
    data = whole(exports.export_keys(connection_as("operator"), choice=ALL, form="archive"))
    with pytest.raises(Damaged):
        list(ArchiveReader(io.BytesIO(data[:-20])).pages())


@pytest.mark.parametrize("form", ["archive", "lines"])
def test_masked_keys_are_left_out(redis: Any, connection_as: Any, form: str) -> None:
    fill(redis)
    connection = connection_as("operator", masks=["e:h"])
    done = exports.Exported()
    data = b"".join(exports.write_export(connection, ALL, form, done))
    assert (done.keys, done.masked) == (6, 1) and b"=2+2" not in data
    with pytest.raises(Denied, match="masked"):
        exports.export_key(connection, b"e:h", form="csv")


def test_patterns_of_the_grant_bound_it(redis: Any, connection_as: Any) -> None:
    fill(redis)
    done = exports.Exported()
    list(
        exports.write_export(
            connection_as("operator", patterns=["e:[hl]"]), Choice(Filter(b"*")), "archive", done
        )
    )
    assert done.keys == 2
    with pytest.raises(NotFound):
        exports.export_key(connection_as("viewer", patterns=["e:[hl]"]), b"other", form="lines")


def test_a_viewer_exports_a_key_but_no_pattern(redis: Any, connection_as: Any) -> None:
    fill(redis)
    viewer = connection_as("viewer")
    assert whole(exports.export_key(viewer, BYTES, form="archive"))
    assert AuditEntry.objects.get(operation="export_key").outcome == "done"
    with pytest.raises(Denied):
        exports.export_keys(viewer, choice=ALL, form="archive")
    with pytest.raises(Denied):
        exports.start_export(viewer, choice=ALL, form="archive")


@pytest.mark.parametrize("choice", [Choice(Filter(b"")), Choice(names=())])
def test_nothing_chosen_is_refused(connection_as: Any, choice: Choice) -> None:
    with pytest.raises(BadInput):
        exports.export_keys(connection_as("operator"), choice=choice, form="archive")
    with pytest.raises(BadInput):
        exports.export_keys(connection_as("operator"), choice=ALL, form="zip")


def rows(redis: Any, connection: Any, name: bytes) -> list[list[str]]:
    data = whole(exports.export_key(connection, name, form="csv"))
    return list(csv.reader(io.StringIO(data.decode())))


def test_collections_as_csv(redis: Any, connection_as: Any) -> None:
    fill(redis)
    viewer = connection_as("viewer")
    assert sorted(rows(redis, viewer, b"e:h")) == sorted([["field", "value"], ["\\xff", "1"], ["b", "'=2+2"]])
    assert rows(redis, viewer, b"e:l") == [["index", "element"], ["0", "a"], ["1", "b"], ["2", "c"]]
    assert sorted(rows(redis, viewer, b"e:s")[1:]) == [["\\xff"], ["a"]]
    assert rows(redis, viewer, b"e:z") == [["member", "score"], ["a", "0.1"], ["b", "inf"]]
    assert rows(redis, viewer, b"e:x") == [["id", "field", "value"], ["1-1", "f", "v"]]
    with pytest.raises(BadInput, match="no table"):
        exports.export_key(viewer, BYTES, form="csv")


def test_csv_of_many_rows_comes_in_pieces(redis: Any, connection_as: Any) -> None:
    redis.rpush(NAME, *(f'{number},-"x"' for number in range(20_000)))
    file = exports.export_key(connection_as("viewer"), NAME, form="csv")
    pieces = list(file.chunks)
    assert len(pieces) > 3
    found = list(csv.reader(io.StringIO(b"".join(pieces).decode())))
    assert len(found) == 20_001 and found[-1] == ["19999", '19999,-"x"']


def test_kept_as_a_file_for_a_week(redis: Any, connection_as: Any) -> None:
    fill(redis)
    operator = connection_as("operator")
    job = exports.start_export(operator, choice=ALL, form="archive")
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.done, job.result["keys"]) == ("done", 7, 7), job.problem
    file = exports.download_export(operator, job_id=job.pk)
    data = whole(file)
    assert len(data) == file.size and ArchiveReader(io.BytesIO(data))
    with pytest.raises(NotFound):
        exports.download_export(connection_as("operator"), job_id=job.pk)
    Job.objects.filter(pk=job.pk).update(finished_at=job.finished_at - exports.KEPT_FOR * 2)
    assert exports.remove_old_exports() == 1
    with pytest.raises(NotFound):
        exports.download_export(operator, job_id=job.pk)


@pytest.mark.parametrize("narrower", [{"patterns": ["e:text"]}, {"masks": ["e:*"]}])
def test_a_file_made_under_a_wider_grant_is_not_given_out(
    redis: Any, connection_as: Any, narrower: dict[str, list[str]]
) -> None:
    fill(redis)
    operator = connection_as("operator")
    job = exports.start_export(operator, choice=ALL, form="lines")
    job_worker.run_job(job.pk)
    Grant.objects.filter(user=operator.actor.user).update(**narrower)
    now = open_connection(operator.actor, "test", 0)
    with pytest.raises(Denied, match="grants have changed"):
        exports.download_export(now, job_id=job.pk)


def test_types_without_a_readable_form_are_named(redis: Any, connection_as: Any, monkeypatch: Any) -> None:
    from keyspace.backups import typed

    fill(redis)
    monkeypatch.delitem(typed._READERS, "stream")
    done = exports.Exported()
    data = b"".join(exports.write_export(connection_as("operator"), ALL, "lines", done))
    assert (done.keys, done.unreadable) == (6, 1) and b'"left_out": "e:x"' in data
    assert len(list(read_pieces(io.BytesIO(data)))) == 6
