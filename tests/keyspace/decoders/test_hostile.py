"""Values made to exhaust, mislead or break their reader."""

import gzip
import io
import pickle
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyspace.decoders import DECODERS, LIMITS, DecodeError, Limits, decode_value
from tests.keyspace.decoders.hostile import BOMB, BOMBS, HOSTILE
from tests.keyspace.decoders.samples import SAMPLES

MIB = 1024 * 1024
NAMES = [decoder.name for decoder in DECODERS]


MORE = 160 * MIB
"""Address space that one reading may add: zstd's largest window is 128 MiB, of which it touches what it needs."""


@pytest.fixture
def _within_bounds() -> Iterator[None]:
    """Less than 3 s of this thread (for two readings of at most 1 s each), and no more memory than MORE: beyond that
    allocations fail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    began = time.thread_time()
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.thread_time() - began < 3


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.usefixtures("_within_bounds")
def test_a_bomb_is_unpacked_only_as_far_as_the_limit(name: str) -> None:
    decoder = decode_value(BOMBS[name], name.split()[0])
    assert decoder.truncated
    assert len(decoder.text) <= MIB
    assert "Cut" in (decoder.note or "")


@pytest.mark.usefixtures("_within_bounds")
def test_bombs_in_bombs_end() -> None:
    data = BOMB
    for _ in range(20):
        data = gzip.compress(data)
    assert len(decode_value(data).chain) <= 8


@pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name, values in HOSTILE.items() for at in range(len(values))]
)
@pytest.mark.usefixtures("_within_bounds")
def test_a_hostile_value_is_read_within_bounds(name: str, at: int) -> None:
    data = HOSTILE[name][at]
    for using, partial in ((name, False), (None, True)):
        decoded = decode_value(data, using, partial=partial)
        assert len(decoded.text) <= LIMITS.output
        assert "this decoder failed" not in (decoded.failed or "")


def test_every_format_has_been_attacked() -> None:
    assert set(HOSTILE) == set(NAMES)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a pickle was run')",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_listed_and_never_run(protocol: int) -> None:
    decoded = decode_value(pickle.dumps(Evil(), protocol), "pickle")
    assert decoded.kind == "listing"
    assert "a pickle was run" in decoded.text
    assert "it was not run" in (decoded.note or "")
    assert "exec" in (decoded.note or "")


def test_a_pickle_bomb_of_shared_lists_stays_a_listing() -> None:
    data = b"\x80\x02]q\x00" + b"".join(b"]q%c(h%ch%ce" % (at + 1, at, at) for at in range(60)) + b"."
    assert len(decode_value(data, "pickle").text) < 20_000


def test_php_objects_are_shown_and_not_made() -> None:
    decoded = decode_value(b'O:8:"PharData":1:{s:4:"file";s:11:"/etc/passwd";}')
    assert '"$object"' in decoded.text
    assert decoded.chain == ("php",)


def test_markup_stays_text() -> None:
    assert "<script>" in decode_value(b'{"a":"<script>alert(1)</script>"}').text


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_shown_whatever_they_are_read_as(data: bytes, partial: bool) -> None:
    for using in (None, *NAMES):
        decoded = decode_value(data, using, partial=partial, limits=Limits(output=5000, items=500))
        assert len(decoded.text) <= 5000
        assert decoded.truncated or not partial


magics = st.sampled_from(sorted({sample.data[:12] for samples in SAMPLES.values() for sample in samples}))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(magics, st.binary(max_size=200))
def test_decoders_raise_nothing_but_decode_errors(magic: bytes, rest: bytes) -> None:
    """Around the net that `decode_value` has for faults of ours."""
    for decoder in DECODERS:
        for partial in (False, True):
            assert 0 <= decoder.detect(magic + rest, partial=partial) <= 100
            try:
                decoder.decode(magic + rest, LIMITS.begin(), partial=partial)
            except DecodeError as error:
                assert str(error).endswith((".", "…", ")"))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_shown_as_it_is_or_with_escapes_and_comes_back(text: str) -> None:
    decoded = decode_value(text.encode("utf-8", "surrogatepass"), "text")
    assert decoded.roundtrips
    assert not set(decoded.text) & {chr(code) for code in (*range(9), *range(11, 32), 0x202E, 0x200B)}


def test_a_fault_of_ours_does_not_blank_the_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decoder = next(decoder for decoder in DECODERS if decoder.name == "json")
    monkeypatch.setattr(type(decoder), "decode", lambda *args, **kwargs: 1 / 0)
    decoded = decode_value(b"{}", "json")
    assert decoded.failed == "JSON: this decoder failed on these bytes."
    assert decoded.kind == "hex"
    assert "decoder json failed" in caplog.text


def test_the_listing_never_holds_what_it_does_not_show() -> None:
    listed = decode_value(pickle.dumps({"x": io.BytesIO(b"y" * 5 * MIB).getvalue()}), "pickle")
    assert len(listed.text) < 2000
    assert "5 MiB" in listed.text
