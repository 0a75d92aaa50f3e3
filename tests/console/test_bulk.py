"""The pages of bulk work: what is asked for, what is refused, and who sees them."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from keyspace import job_worker, jobs
from keyspace.bulk.deleting import DeleteIntoTrash
from keyspace.encoding import key_id
from keyspace.errors import Conflict
from keyspace.models import Grant, Job, Server

pytestmark = pytest.mark.django_db(transaction=True)
BYTES = b"s:\xff<b>"
PAGE = reverse("bulk", args=["test", 0])


def look(client: Client, **given: str) -> Job:
    answer = client.post(PAGE, {"match": "s:*", "type": "", "ttl": ""} | given)
    assert answer.status_code == 302, answer.content.decode()
    job = Job.objects.filter(kind="look_bulk").latest("created_at")
    job_worker.run_job(job.pk)
    return job


def address(job: Job) -> str:
    return reverse("bulk_look", args=["test", 0, job.pk])


def fill(redis: Any) -> None:
    redis.mset({f"s:{number}": number for number in range(30)} | {BYTES: b"\xfe", "other": 1})


def test_choose_look_and_delete(admin_client: Client, redis: Any) -> None:
    fill(redis)
    job = look(admin_client)
    shown = admin_client.get(address(job)).content.decode()
    assert "31 keys" in shown and "of 32 in the db" in shown and "The slowest part" in shown
    assert "<b>" not in shown.split("example")[1].split("</table>")[0]
    answer = admin_client.post(address(job), {"do": "delete", "trash": "on", "rate": "0"})
    run = Job.objects.get(kind="run_bulk")
    assert answer.url == reverse("job", args=[run.pk])
    job_worker.run_job(run.pk)
    assert redis.keys("*") == [b"other"]
    report = admin_client.get(answer.url).content.decode()
    assert "31 in the trash" in report
    download = admin_client.get(reverse("job_report", args=[run.pk])).json()
    assert download["report"]["done"] == 31


def test_a_delete_is_taken_back_from_its_report(admin_client: Client, redis: Any) -> None:
    fill(redis)
    admin_client.post(address(look(admin_client)), {"do": "delete", "trash": "on", "rate": "0"})
    run = Job.objects.get(kind="run_bulk")
    job_worker.run_job(run.pk)
    undo = reverse("bulk_put_back", args=["test", 0, run.pk])
    assert undo in admin_client.get(reverse("job", args=[run.pk])).content.decode()
    answer = admin_client.post(undo)
    back = Job.objects.get(kind="put_back")
    job_worker.run_job(back.pk)
    assert "Put back" in admin_client.get(answer.url).content.decode() and redis.dbsize() == 32


@pytest.mark.parametrize("state", ["cancelled", "interrupted", "failed"])
def test_a_delete_that_ended_half_way_says_what_it_did_and_is_taken_back(
    admin_client: Client, redis: Any, monkeypatch: Any, state: str
) -> None:
    fill(redis)
    endings = {
        "cancelled": jobs.Cancelled(),
        "interrupted": jobs.Interrupted("away"),
        "failed": Conflict("no"),
    }

    def half_way(deleting: Any, wire: Any, names: Any, tally: Any) -> None:
        real(deleting, wire, names[:10], tally)
        raise endings[state]

    real = DeleteIntoTrash.apply
    monkeypatch.setattr(DeleteIntoTrash, "apply", half_way)
    admin_client.post(address(look(admin_client)), {"do": "delete", "trash": "on", "rate": "0"})
    run = Job.objects.get(kind="run_bulk")
    job_worker.run_job(run.pk)
    run.refresh_from_db()
    report = admin_client.get(reverse("job", args=[run.pk])).content.decode()
    undo = reverse("bulk_put_back", args=["test", 0, run.pk])
    assert run.state == state and "Deleted" in report and undo in report and "Go on" in report
    admin_client.post(undo)
    job_worker.run_job(Job.objects.get(kind="put_back").pk)
    assert redis.dbsize() == 32


def test_while_it_looks_the_page_asks_again(admin_client: Client, redis: Any) -> None:
    fill(redis)
    admin_client.post(PAGE, {"match": "s:*"})
    job = Job.objects.get(kind="look_bulk")
    state = reverse("bulk_state", args=["test", 0, job.pk])
    assert state in admin_client.get(address(job)).content.decode()
    assert b"_looking" in admin_client.get(state).content
    job_worker.run_job(job.pk)
    assert admin_client.get(state)["HX-Refresh"] == "true"


def test_the_dry_run_has_a_page_among_the_jobs(admin_client: Client, redis: Any) -> None:
    fill(redis)
    job = look(admin_client)
    shown = admin_client.get(reverse("job", args=[job.pk])).content.decode()
    assert "of 32 in the db" in shown and address(job) in shown and "Copy them" not in shown


@pytest.mark.parametrize("do", ["delete", "set", "extend", "persist"])
def test_each_act_has_its_fields(admin_client: Client, redis: Any, do: str) -> None:
    fill(redis)
    shown = admin_client.get(f"{address(look(admin_client))}?do={do}").content.decode()
    assert ('name="ttl"' in shown) == (do in ("set", "extend"))
    assert ('name="trash"' in shown) == (do == "delete")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"match": ""}, "An empty pattern chooses nothing"),
        ({"match": "s:*", "memory": "many"}, "This is not a size"),
        ({"match": "s:*", "idle": "long"}, "This is not a duration"),
        ({"match": "", "names": "~~"}, ""),
    ],
)
def test_what_cannot_be_chosen_is_told(
    admin_client: Client, server_row: Server, given: dict[str, str], sentence: str
) -> None:
    answer = admin_client.post(PAGE, given)
    assert answer.status_code == 422 and sentence in answer.content.decode()
    assert not Job.objects.exists()


def test_a_duration_is_asked_for(admin_client: Client, redis: Any) -> None:
    fill(redis)
    answer = admin_client.post(address(look(admin_client)), {"do": "set", "ttl": "", "rate": "0"})
    assert answer.status_code == 422 and "No time was given" in answer.content.decode()


def test_production_asks_for_the_number_and_all_keys_for_the_name(
    admin_client: Client, redis: Any, server_row: Server
) -> None:
    Server.objects.filter(pk=server_row.pk).update(environment="production")
    fill(redis)
    job = look(admin_client, match="*")
    shown = admin_client.get(address(job)).content.decode()
    assert 'data-confirm="32"' in shown and 'data-confirm="test"' in shown
    order = {"do": "delete", "rate": "0"}
    for typed in ({}, {"number": "32"}, {"name": "test"}, {"number": "31", "name": "test"}):
        assert admin_client.post(address(job), order | typed).status_code == 422
    assert admin_client.post(address(job), order | {"number": "32", "name": "test"}).status_code == 302


def test_a_selection_is_chosen_by_its_names(admin_client: Client, redis: Any) -> None:
    fill(redis)
    names = ",".join(map(key_id, [BYTES, b"s:1"]))
    assert "2 selected keys" in admin_client.get(PAGE, {"names": names}).content.decode()
    job = look(admin_client, match="", names=names)
    job.refresh_from_db()
    assert job.result["count"] == 2


def test_a_double_click_looks_once(admin_client: Client, redis: Any) -> None:
    for _ in range(2):
        admin_client.post(PAGE, {"match": "s:*", "once": "abc"})
    assert Job.objects.count() == 1


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_the_pages_are_for_admins(request: Any, redis: Any, role: str) -> None:
    client = request.getfixturevalue(f"{role}_client")
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, {"match": "*"}).status_code == 403
    keys = client.get(reverse("keys", args=["test", 0])).content.decode()
    assert PAGE not in keys


def test_the_keys_page_leads_here_with_its_filter(admin_client: Client, redis: Any) -> None:
    keys = admin_client.get(
        reverse("keys", args=["test", 0]), {"match": "ses", "type": "hash"}
    ).content.decode()
    assert f"{PAGE}?match=%2Ases%2A&amp;type=hash" in keys
    assert f'{PAGE}"' in admin_client.get(reverse("keys", args=["test", 0])).content.decode()


def test_folders_and_keys_are_chosen_together(admin_client: Client, redis: Any) -> None:
    redis.mset({"a*:1": 1, "a*:2": 1, "ab:1": 1, "c:1": 1, "c:2": 1})
    folders, names = ",".join(map(key_id, [b"a*:", b"c:"])), key_id(b"ab:1")
    for given, count in (
        ({"folders": folders}, 4),
        ({"folders": key_id(b"a*:")}, 2),
        ({"folders": folders, "names": names}, 5),
    ):
        job = look(admin_client, match="", **given)
        job.refresh_from_db()
        assert job.result["count"] == count, given
    assert (
        "2 selected folders and 1 selected key"
        in admin_client.post(PAGE, {"choose": "yes", "folders": folders, "names": names}).content.decode()
    )


def test_many_selected_names_travel_by_post(admin_client: Client, redis: Any) -> None:
    fill(redis)
    names = ",".join(key_id(b"s:%d" % number) for number in range(3000))
    answer = admin_client.post(PAGE, {"names": names, "do": "set"})
    assert answer.status_code == 302 and answer.url.endswith("?do=set") and len(answer.url) < 200
    job = Job.objects.get(kind="look_bulk")
    job_worker.run_job(job.pk)
    shown = admin_client.get(address(job)).content.decode()
    assert "30 keys" in shown and f'method="post" action="{PAGE}"' in shown


def test_a_folder_without_a_name_is_not_everything(admin_client: Client, redis: Any) -> None:
    fill(redis)
    assert admin_client.post(PAGE, {"folders": "~"}).status_code == 422


def test_the_list_offers_only_what_the_role_may(request: Any, server_row: Server) -> None:
    page = reverse("keys", args=["test", 0])
    offered = {
        role: request.getfixturevalue(f"{role}_client").get(page).content.decode()
        for role in ("viewer", "operator", "admin")
    }
    assert "data-selection" not in offered["viewer"]
    assert "Export…" in offered["operator"] and "Delete…" not in offered["operator"]
    assert "Delete…" in offered["admin"] and "TTL…" in offered["admin"]


# copies


COPY = reverse("bulk_copy", args=["test", 0])


def look_at_copy(client: Client, **given: str) -> tuple[str, Job]:
    """(the address of its page, the dry run)."""
    answer = client.post(
        COPY, {"match": "s:*", "to_server": "test", "to_db": "5", "existing": "skip"} | given
    )
    assert answer.status_code == 302, answer.content.decode()
    job = Job.objects.filter(kind="look_bulk").latest("created_at")
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    return answer.url, job


@pytest.fixture
def db5(redis: Any) -> Iterator[Any]:
    """Another db of the server."""
    with redis.client() as client:
        client.select(5)
        yield client
        client.flushdb()


def test_copy_from_the_choice_to_the_report(admin_client: Client, redis: Any, db5: Any) -> None:
    fill(redis)
    db5.mset({"s:1": "theirs", "s:2": "2"})
    page, job = look_at_copy(admin_client, existing="different")
    shown = admin_client.get(page).content.decode()
    assert [job.result["copy"][kind] for kind in ("new", "same", "different")] == [29, 1, 1]
    assert "Copy 31 keys" in shown and "through the trash there" in shown
    answer = admin_client.post(page, {"rate": "0"})
    run = Job.objects.get(kind="run_bulk")
    assert answer.url == reverse("job", args=[run.pk])
    job_worker.run_job(run.pk)
    report = admin_client.get(answer.url).content.decode()
    assert "Copied" in report and "to test, db 5" in report and "1 earlier value in the trash" in report
    assert db5.get(BYTES) == b"\xfe" and db5.get("s:1") == b"1" and db5.dbsize() == 31
    undo = reverse("bulk_put_back", args=["test", 5, run.pk])
    assert undo in report
    back = admin_client.post(undo)
    job_worker.run_job(Job.objects.get(kind="put_back").pk)
    assert "Put back" in admin_client.get(back.url).content.decode() and db5.get("s:1") == b"theirs"


def test_copy_to_the_same_place_is_refused_at_its_field(admin_client: Client, redis: Any) -> None:
    fill(redis)
    answer = admin_client.post(COPY, {"match": "s:*", "to_server": "test", "to_db": "0", "existing": "skip"})
    assert answer.status_code == 422 and "This is the db they are in" in answer.content.decode()


def test_a_choice_goes_on_to_the_copy_page(admin_client: Client, redis: Any) -> None:
    fill(redis)
    shown = admin_client.post(COPY, {"choose": "yes", "names": key_id(BYTES)}).content.decode()
    assert "1 selected key" in shown and "Where to" in shown
    assert f'formaction="{COPY}"' in admin_client.get(address(look(admin_client))).content.decode()


def test_who_may_write_nowhere_is_told(operator_client: Client, server_row: Server) -> None:
    shown = operator_client.get(COPY).content.decode()
    assert "no server that you may copy many keys to" in shown
    assert "Copy…" not in operator_client.get(reverse("keys", args=["test", 0])).content.decode()


def test_a_viewer_may_not_copy(viewer_client: Client, server_row: Server) -> None:
    assert viewer_client.get(COPY).status_code == 403


def test_what_the_other_side_does_not_read_is_said_before(
    admin_client: Client, redis: Any, new_server: Any, make_server: Any, admin: Any
) -> None:
    fill(redis)
    make_server(new_server("redis6"), "older")
    Grant.objects.create(user=admin, role="admin")
    page, job = look_at_copy(admin_client, to_server="older", to_db="0")
    shown = admin_client.get(page).content.decode()
    assert (
        "older does not read all that this server dumps" in shown
        and "RDB version 80 here, up to 9 there" in shown
    )
