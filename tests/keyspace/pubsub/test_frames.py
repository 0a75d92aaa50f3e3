"""What a frame holds, and how a viewer's queue counts."""

import json

from hypothesis import given
from hypothesis import strategies as st

from keyspace.access import Right
from keyspace.pubsub.filters import Filter, Message
from keyspace.pubsub.frames import CUT, batch_frame
from keyspace.pubsub.guard import Guard
from keyspace.pubsub.kept import Kept
from keyspace.pubsub.subscriptions import Kind, Subscription, bytes_of, text_of
from keyspace.pubsub.viewers import Counts, Frame, Viewer
from keyspace.pubsub.views import View


def decode(frame: Frame) -> dict:
    return json.loads(frame.data)


def rows(content: dict) -> list[tuple[str, str, str]]:
    """(channel, subscription, payload) of each row."""
    c, s = content["c"], content["s"]
    return [
        (
            content["channels"][c if isinstance(c, int) else c[at]],
            content["subs"][s if isinstance(s, int) else s[at]][1],
            payload,
        )
        for at, payload in enumerate(content["p"])
    ]


@given(st.binary(max_size=50))
def test_any_bytes_survive_as_text(data: bytes) -> None:
    assert bytes_of(json.loads(json.dumps(text_of(data)))) == data


@given(
    st.lists(
        st.tuples(st.sampled_from([b"a", b"b", b"\xff"]), st.booleans(), st.binary(max_size=20)), max_size=20
    )
)
def test_columns_give_back_every_row(given: list[tuple[bytes, bool, bytes]]) -> None:
    messages: list[Message] = [
        [b"pmessage", b"*", channel, payload] if pattern else [b"message", channel, payload]
        for channel, pattern, payload in given
    ]
    content = decode(batch_frame([(5, messages)], Counts(), lambda message: 0))
    expected = [(text_of(m[-2]), text_of(m[1]), text_of(m[-1])) for m in messages]
    assert rows(content) == expected and sum(count for _, count in content["at"]) == len(messages)


def test_a_big_payload_is_cut_between_characters() -> None:
    kept = Kept()
    message = [b"message", b"a", "€".encode() * CUT]
    content = decode(batch_frame([(1, [[b"message", b"a", b"small"], message])], Counts(), kept.keep))
    assert content["big"] == [[1, 3 * CUT, 1]] and set(content["p"][1]) == {"€"}
    assert kept.get(1) is message


def test_kept_payloads_are_bounded_and_the_newest_is_always_there() -> None:
    kept = Kept(limit=100)
    numbers = [kept.keep([b"message", b"a", bytes(60)]) for _ in range(3)]
    assert [kept.get(number) is not None for number in numbers] == [False, False, True]
    huge: Message = [b"message", b"a", bytes(1000)]
    assert kept.keep(huge) == kept.keep(huge) and kept.get(4) is huge and kept.get(3) is None


def frame(shown: int, size: int = 100) -> Frame:
    return Frame(b"x" * size, Counts(received=shown, matched=shown, shown=shown))


async def drain(viewer: Viewer) -> list[bytes]:
    viewer.close()
    return [data async for data in viewer.frames()]


async def test_a_full_queue_drops_and_counts_and_says_where() -> None:
    viewer = Viewer(max_queued=250)
    for _ in range(5):
        viewer.offer(frame(10))
    assert (viewer.counts.received, viewer.counts.shown, viewer.counts.browser) == (50, 20, 30)
    first, second, missed = await drain(viewer)
    assert first == second and json.loads(missed)["counts"]["browser"] == 30


async def test_one_frame_bigger_than_the_queue_still_goes_through() -> None:
    viewer = Viewer(max_queued=10)
    viewer.offer(frame(1, size=1000))
    assert len(await drain(viewer)) == 1


async def test_a_view_counts_every_message_once() -> None:
    viewer = Viewer()
    view = View(
        (frozenset({Subscription(Kind.CHANNEL, b"a")}), Filter(text="1"), Guard((Right("viewer"),))),
        lambda m: 0,
    )
    view.viewers.add(viewer)
    for at in range(10):
        view.inbox += [[b"message", b"a", b"%d" % number] for number in range(100)]
        view.mark(at)
    view.flush(seconds=60)
    content = json.loads((await drain(viewer))[0])
    assert (content["received"], content["matched"], len(content["p"])) == (1000, 190, 190)
    assert content["at"] == [[at, 19] for at in range(10)]
