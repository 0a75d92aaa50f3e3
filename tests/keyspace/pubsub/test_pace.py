"""How much time frames may take: all of a stream that is not too fast, a sample of one that is, hardly any when reading falls behind."""

from typing import Any

import pytest

from keyspace.pubsub import pace
from keyspace.pubsub.pace import MIN_SHARE, SAMPLE_SHARE, SHARE, Pace

EVERY = 0.06


@pytest.fixture
def clock(monkeypatch: Any) -> list[float]:
    """[perf_counter, thread_time], which stand still unless a test moves them."""
    now = [0.0, 0.0]
    monkeypatch.setattr(pace.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(pace.time, "thread_time", lambda: now[1])
    return now


def flush(one: Pace, clock: list[float], *, rate: int, cost: float = 0.4e-6, delay: float = 0.0) -> float:
    """One flush of a stream of `rate` messages a second; the seconds it may take."""
    clock[0] += EVERY
    one.adapt(delay, every=EVERY)
    seconds = one.earn()
    messages = int(rate * EVERY)
    clock[1] += min(seconds, messages * cost)
    one.spend(messages * cost, messages)
    return seconds


def test_a_hundred_thousand_a_second_are_shown_whole(clock: list[float]) -> None:
    one = Pace()
    assert all(flush(one, clock, rate=100_000) > 100_000 * EVERY * 0.4e-6 for _ in range(200))


def test_a_faster_stream_is_sampled_and_whole_again_when_it_slows_down(clock: list[float]) -> None:
    one = Pace()
    assert [flush(one, clock, rate=200_000) for _ in range(100)][-1] <= SAMPLE_SHARE * EVERY * 1.01
    assert [flush(one, clock, rate=50_000) for _ in range(100)][-1] > SAMPLE_SHARE * EVERY * 2


def test_what_follows_a_flood_is_whole_within_half_a_second(clock: list[float]) -> None:
    one = Pace()
    for _ in range(100):
        flush(one, clock, rate=200_000)
    seconds = [flush(one, clock, rate=20_000) for _ in range(20)]
    assert min(seconds[8:]) > 20_000 * EVERY * 0.4e-6 * 10


def test_a_quiet_moment_ends_what_a_flood_owes(clock: list[float]) -> None:
    one = Pace()
    for _ in range(50):
        clock[0] += EVERY
        one.adapt(0.0, every=EVERY)
        one.earn()
        clock[1] += 0.05
        one.spend(0.1, 12_000)
    flush(one, clock, rate=0)
    assert flush(one, clock, rate=20_000) > 20_000 * EVERY * 0.4e-6


def test_the_rate_that_is_shown_whole_is_a_setting(clock: list[float], settings: Any) -> None:
    settings.LIVE_WHOLE_RATE = 1_000_000
    one = Pace()
    assert all(flush(one, clock, rate=200_000) > 200_000 * EVERY * 0.4e-6 for _ in range(100))


def test_what_costs_too_much_is_sampled_at_any_rate(clock: list[float]) -> None:
    one = Pace()
    seconds = [flush(one, clock, rate=20_000, cost=2 * SHARE / 20_000) for _ in range(100)]
    assert seconds[-1] <= SAMPLE_SHARE * EVERY * 1.01


def test_reading_goes_first(clock: list[float]) -> None:
    one = Pace()
    for _ in range(50):
        flush(one, clock, rate=100_000)
    seconds = [flush(one, clock, rate=100_000, delay=1.0) for _ in range(2)]
    assert seconds[-1] <= MIN_SHARE * EVERY * 1.01
