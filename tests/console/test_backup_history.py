"""The history of the Backups page: page by page, narrowed, and quick when there are ten thousand."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from keyspace import job_worker
from keyspace.backups.history import PAGE
from keyspace.backups.slots import SlotWatch
from keyspace.models import Backup, Job, OpenBackup, Schedule, Server
from tests.topologies import start_replica

pytestmark = pytest.mark.django_db(transaction=True)
HTMX = {"HTTP_HX_REQUEST": "true"}
START = datetime(2026, 1, 1, tzinfo=UTC)


def fill(count: int, server: str = "test", **fields: Any) -> None:
    """Backups of every minute, three of which were made in the same moment."""
    states = ("loaded", "failed", "saved", "damaged")
    kinds = {"loaded": "pull", "failed": "export", "saved": "snapshot", "damaged": "pull"}
    Backup.objects.bulk_create(
        [
            Backup(
                server=server, kind=kinds[states[number % 4]], state=states[number % 4], size=number, keys={"0": number},
                person=f"person {number % 7}", created_at=START + timedelta(minutes=number // 3), **fields,
            )
            for number in range(count)
        ],
        batch_size=500,
    )  # fmt: skip


@pytest.fixture
def address(server_row: Server) -> str:
    return reverse("backups", args=["test"])


def shown(page: str) -> list[str]:
    return re.findall(r'row-link" href="/servers/test/backups/([0-9a-f-]{36})/"', page)


def link(page: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
    return found[1].replace("&amp;", "&") if found else None


def walk(client: Client, address: str, rel: str = "next", start: str = "") -> tuple[list[list[str]], str]:
    """All pages from one end to the other, and the address of the last."""
    pages, query = [], start
    while True:
        page = client.get(address + query).content.decode()
        pages.append(shown(page))
        following = link(page, rel)
        if following is None or len(pages) > 50:
            return pages, query
        query = following


def test_every_backup_is_on_one_page_and_the_way_back_is_the_same(admin_client: Client, address: str) -> None:
    fill(2 * PAGE + 33)
    pages, last = walk(admin_client, address)
    assert [len(page) for page in pages] == [PAGE, PAGE, 33]
    expected = Backup.objects.order_by("-created_at", "-pk").values_list("pk", flat=True)
    assert sum(pages, []) == [str(pk) for pk in expected]
    back, _ = walk(admin_client, address, "prev", last)
    assert back[-1] == pages[0]
    assert len(back) <= 4


def test_what_arrives_or_goes_meanwhile_shifts_nothing(admin_client: Client, address: str) -> None:
    fill(2 * PAGE + 33)
    first = admin_client.get(address).content.decode()
    following = link(first, "next")
    assert following
    expected = shown(admin_client.get(address + following).content.decode())
    for _ in range(5):
        Backup.objects.create(server="test", kind="pull", state="loaded", person="new")
    Backup.objects.filter(pk=shown(first)[-1]).delete()  # the one that the link was made of
    assert shown(admin_client.get(address + following).content.decode()) == expected
    assert shown(admin_client.get(address).content.decode())[:5] != shown(first)[:5]


def test_a_page_that_is_looked_at_keeps_its_place_while_it_is_polled(
    admin_client: Client, address: str
) -> None:
    fill(2 * PAGE)
    following = link(admin_client.get(address).content.decode(), "next")
    assert following
    second = admin_client.get(address + following).content.decode()
    poll = re.search(r'hx-get="(/servers/test/backups/state/[^"]+)"', second)
    assert poll
    polled = admin_client.get(poll[1].replace("&amp;", "&"), **HTMX).content.decode()
    assert shown(polled) == shown(second)
    assert 'id="_history" hx-swap-oob="true"' in polled


def test_progress_of_a_running_one_is_on_every_page(admin_client: Client, address: str) -> None:
    fill(2 * PAGE)
    following = link(admin_client.get(address).content.decode(), "next")
    assert following
    started = admin_client.post(reverse("backups_start", args=["test"]) + following, {"kind": "pull"}, **HTMX)
    assert "<progress" in started.content.decode()
    for query in ("", following):
        page = admin_client.get(address + query).content.decode()
        assert ("<progress" in page, "every 1s" in page) == (True, True)
        assert str(Backup.objects.get(state="running").pk) not in shown(page)
    job_worker.run_job(Job.objects.get().pk)
    assert str(Backup.objects.get(person="admin").pk) == shown(admin_client.get(address).content.decode())[0]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("?kind=snapshot", {"kind": "snapshot"}),
        ("?state=damaged", {"state": "damaged"}),
        ("?by=person+3", {"person": "person 3"}),
        ("?kind=pull&state=loaded&by=person+3", {"kind": "pull", "state": "loaded", "person": "person 3"}),
    ],
)
def test_it_can_be_narrowed(query: str, fields: dict[str, str], admin_client: Client, address: str) -> None:
    fill(5 * PAGE)
    pages, _ = walk(admin_client, address, start=query)
    expected = Backup.objects.filter(**fields).order_by("-created_at", "-pk").values_list("pk", flat=True)
    assert sum(pages, []) == [str(pk) for pk in expected]


def test_schedules_are_among_those_who_made_them(
    admin_client: Client, viewer_client: Client, address: str, server_row: Server
) -> None:
    schedule = Schedule.objects.create(server=server_row, name="n\xe4chtlich <b>")
    fill(PAGE + 1)
    fill(2, schedule=schedule)
    Backup.objects.filter(schedule=schedule).update(person=f"schedule {schedule.name}")
    for client in (admin_client, viewer_client):
        page = client.get(address).content.decode()
        assert '<option value="schedule n\xe4chtlich &lt;b&gt;">' in page
        assert len(shown(client.get(address, {"by": f"schedule {schedule.name}"}).content.decode())) == 2


def test_another_server_s_backups_and_people_are_not_told(
    admin_client: Client, nobody_client: Client, address: str, make_server: Any, server: Any
) -> None:
    make_server(server, "other")
    fill(PAGE + 1)
    fill(PAGE + 1, server="other", reason="of the other")
    Backup.objects.filter(server="other").update(person="somebody else")
    page = admin_client.get(address).content.decode()
    assert "somebody else" not in page
    assert "of the other" not in page
    assert nobody_client.get(address).status_code == 404


def test_where_nothing_is_like_that_it_says_so(admin_client: Client, address: str) -> None:
    fill(8)
    page = admin_client.get(address).content.decode()
    assert "Any kind" not in page  # so few need no narrowing
    narrow = admin_client.get(address + "?state=cancelled").content.decode()
    assert "No backup is like that" in narrow
    assert "Any kind" in narrow


@pytest.mark.parametrize(
    "query",
    [
        "?kind=evil",
        "?state=everything",
        "?before=1",
        "?before=x-y",
        "?after=-",
        f"?before={10**40}-{'0' * 32}",
        "?before=%00-%00",
    ],
)
def test_nonsense_is_a_sentence(query: str, admin_client: Client, address: str) -> None:
    answer = admin_client.get(address + query)
    assert answer.status_code == 400
    assert "There is no such" in answer.content.decode()


def test_hostile_people_find_nobody(admin_client: Client, address: str) -> None:
    fill(3)
    for by in ("\x00", "%", "x" * 5000, "\ud7ff", "' OR 1=1 --"):
        assert admin_client.get(address, {"by": by}).status_code == 200


def queries(page: Callable[[], Any], capture: Any) -> int:
    with capture as captured:
        assert page().status_code == 200
    return len(captured)


def test_ten_thousand_cost_as_many_queries_as_a_few_hundred(
    admin_client: Client, address: str, django_assert_max_num_queries: Any
) -> None:
    fill(3 * PAGE)
    state = reverse("backups_state", args=["test"])
    costs = []
    for _ in range(2):
        following = link(admin_client.get(address).content.decode(), "next") or ""
        pages = (address, address + following, address + "?state=loaded", state)
        costs.append(
            [
                queries(lambda url=url: admin_client.get(url), django_assert_max_num_queries(40))
                for url in pages
            ]
        )
        fill(10_000)
    assert Backup.objects.count() == 20_000 + 3 * PAGE
    assert costs[0] == costs[1]


def test_one_that_is_not_whole_says_so_and_is_made_again(
    admin_client: Client, viewer_client: Client, address: str
) -> None:
    backup = Backup.objects.create(
        server="test", kind="export", state="torn", person="x", keys={"0": 3}, size=10, remark="The replica r was passed over: Why.",
        torn="While the shards were read, slots moved between them (5): some may be missing.",
    )  # fmt: skip
    assert "Not whole: slots moved" in admin_client.get(address).content.decode()
    url = reverse("backup", args=["test", backup.pk])
    page = admin_client.get(url).content.decode()
    for said in (backup.torn, backup.remark, "Make it again"):
        assert said in page
    seen = viewer_client.get(url).content.decode()
    assert (backup.torn in seen, "Make it again" in seen) == (True, False)
    again = reverse("backup_repeat", args=["test", backup.pk])
    assert viewer_client.post(again).status_code == 403
    for _ in range(2):  # pressed twice
        assert admin_client.post(again, {"once": "f00"}).status_code == 302
    made = Backup.objects.exclude(pk=backup.pk).get()
    assert (made.kind, made.state) == ("export", "running")
    Backup.objects.filter(pk=backup.pk).update(state="loaded")
    assert admin_client.post(again).status_code == 409


def test_its_job_says_so_as_well(
    admin_client: Client, viewer_client: Client, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.set(b"a\xff", 1)
    sentence = "While the shards were read, slots moved between them (5)."
    monkeypatch.setattr(SlotWatch, "what_moved", lambda watch: sentence)
    admin_client.post(reverse("backups_start", args=["test"]), {"kind": "pull"}, **HTMX)
    job = Job.objects.get()
    job_worker.run_job(job.pk)
    url = reverse("job", args=[job.pk])
    assert f"It is not whole. {sentence}" in admin_client.get(url).content.decode()
    assert viewer_client.get(url).status_code == 404
    verified = admin_client.post(reverse("backup_verify", args=["test", Backup.objects.get().pk]))
    job_worker.run_job(Job.objects.get(kind="verify_backup").pk)
    assert sentence in admin_client.get(verified["Location"]).content.decode()


def test_checks_come_beside_the_page_for_admins_alone(
    admin_client: Client, viewer_client: Client, address: str, new_server: Any, make_server: Any
) -> None:
    primary = new_server("valkey9")
    make_server(primary, "pair")
    url = reverse("backups_checks", args=["pair"])
    with start_replica(primary) as replica:
        replica.client().execute_command("DEBUG", "POPULATE", 2000, "key", 10)
        replica.client().config_set("rdb-key-save-delay", 5000)
        replica.client().bgsave()
        assert (
            f"The replica {replica.host}:{replica.port} is saving" in admin_client.get(url).content.decode()
        )
        admin_client.post(reverse("backups_start", args=["pair"]), {"kind": "export"}, **HTMX)
        assert "is saving" not in admin_client.get(url).content.decode()
    assert viewer_client.get(reverse("backups_checks", args=["test"])).status_code == 403
    assert reverse("backups_checks", args=["test"]) in admin_client.get(address).content.decode()
    assert reverse("backups_checks", args=["test"]) not in viewer_client.get(address).content.decode()
    assert not OpenBackup.objects.exists()
