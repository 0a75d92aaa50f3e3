"""What every decoder must do, whatever its format: shown on its samples."""

import re

import pytest

from keyspace.decoders import DECODERS, LIMITS, DecodeError, Decoder, Limits, decode_value, encode_value
from keyspace.decoders.base import Packing, Reading
from keyspace.errors import BadInput
from tests.keyspace.decoders.samples import SAMPLES, Sample

ALL = [
    pytest.param(decoder, sample, id=f"{decoder.name}-{at}")
    for decoder in DECODERS
    for at, sample in enumerate(SAMPLES.get(decoder.name, []))
]
each_decoder = pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
each_sample = pytest.mark.parametrize(("decoder", "sample"), ALL)


@each_decoder
def test_has_samples_a_name_for_addresses_and_a_label(decoder: Decoder) -> None:
    assert SAMPLES.get(decoder.name), "write samples for this decoder in samples.py"
    assert re.fullmatch(r"[a-z0-9]+", decoder.name)
    assert decoder.label
    assert isinstance(decoder, Packing | Reading)


def test_names_are_unique() -> None:
    names = [decoder.name for decoder in DECODERS]
    assert len(set(names)) == len(names)
    assert set(SAMPLES) == set(names)


@each_sample
def test_reads_its_sample_when_asked(decoder: Decoder, sample: Sample) -> None:
    decoded = decode_value(sample.data, decoder.name)
    assert decoded.failed is None
    assert sample.shows in decoded.text
    assert decoded.chain[0] == decoder.name
    assert not decoded.truncated


@each_sample
def test_is_detected_where_bytes_tell_and_only_there(decoder: Decoder, sample: Sample) -> None:
    decoded = decode_value(sample.data)
    assert (decoded.chain[0] == decoder.name) == sample.found
    assert bool(decoder.detect(sample.data)) == sample.found or decoder.name in ("hex", "text")


@each_sample
def test_is_offered_for_its_sample(decoder: Decoder, sample: Sample) -> None:
    assert decoder.name in "+".join(using for using, _ in decode_value(sample.data).choices).split("+")
    for using, label in decode_value(sample.data).choices:
        assert label
        assert decode_value(sample.data, using).chain[: using.count("+") + 1] == tuple(using.split("+"))


@each_sample
def test_what_returns_is_written_back_the_same(decoder: Decoder, sample: Sample) -> None:
    decoded = decode_value(sample.data, decoder.name)
    assert decoded.roundtrips == sample.returns
    if not sample.returns:
        return
    written = encode_value(decoded.text, decoded.using, like=sample.data)
    if any(name in ("gzip", "zlib", "zstd", "lz4", "brotli", "snappy") for name in decoded.chain):
        assert decode_value(written, decoded.using).text == decoded.text
    else:
        assert written == sample.data


@each_decoder
def test_what_cannot_be_written_says_so(decoder: Decoder) -> None:
    if not decoder.writes and isinstance(decoder, Reading):
        with pytest.raises(BadInput, match="cannot be written"):
            encode_value("x", decoder.name)


@each_sample
def test_keeps_to_its_limits(decoder: Decoder, sample: Sample) -> None:
    decoded = decode_value(sample.data, decoder.name, limits=Limits(output=200, items=3))
    assert len(decoded.text) <= 200
    assert decoded.truncated or len(decode_value(sample.data, decoder.name).text) <= 200


@each_sample
def test_a_beginning_is_read_as_far_as_it_goes_and_says_so(decoder: Decoder, sample: Sample) -> None:
    for end in range(len(sample.data)):
        decoded = decode_value(sample.data[:end], decoder.name, partial=True)
        assert decoded.truncated
        assert not decoded.roundtrips
        assert "Only the beginning" in (decoded.note or "")


@each_sample
def test_damage_is_told_and_never_raised(decoder: Decoder, sample: Sample) -> None:
    for at in range(0, len(sample.data), len(sample.data) // 300 + 1):
        for change in (1, 0x80):
            data = sample.data[:at] + bytes([sample.data[at] ^ change]) + sample.data[at + 1 :]
            try:
                decoder.decode(data, LIMITS)
            except DecodeError as error:
                assert str(error).strip()
            decode_value(data)


@each_sample
def test_a_cut_value_that_claims_to_be_whole_never_raises(decoder: Decoder, sample: Sample) -> None:
    for end in range(len(sample.data)):
        decode_value(sample.data[:end], decoder.name)
        decode_value(sample.data[:end])
