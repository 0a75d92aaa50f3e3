"""Downloads under ASGI leave as they are read: no more is held than the piece on its way, and who goes away ends the reading."""

import asyncio
from collections.abc import Iterator

import pytest
from django.test import AsyncClient, AsyncRequestFactory, RequestFactory
from django.urls import reverse

from console.streams import send_chunks


class Source:
    """A hundred pieces, some empty; it knows how many were asked for, and whether it was closed."""

    def __init__(self) -> None:
        self.read, self.closed = 0, False

    def chunks(self) -> Iterator[bytes]:
        try:
            for number in range(100):
                self.read += 1
                yield b"" if number % 3 == 1 else b"%02d" % number
        finally:
            self.closed = True


WHOLE = b"".join(b"%02d" % number for number in range(100) if number % 3 != 1)


async def test_a_piece_is_read_when_it_is_sent_and_not_before():
    source = Source()
    response = send_chunks(AsyncRequestFactory().get("/"), source.chunks(), name="a.bin", size=len(WHOLE))
    pieces = aiter(response.streaming_content)
    assert source.read == 0
    assert await anext(pieces) == b"00" and source.read == 1
    rest = [piece async for piece in pieces]
    assert b"00" + b"".join(rest) == WHOLE and b"" not in rest
    assert source.closed and response["Content-Length"] == str(len(WHOLE))


async def test_who_goes_away_ends_the_reading():
    """Django lets go of the response then; the loop closes what was being read."""
    source = Source()
    response = send_chunks(AsyncRequestFactory().get("/"), source.chunks(), name="a.bin")
    pieces = aiter(response.streaming_content)
    await anext(pieces)
    await pieces.aclose()
    response.close()
    del pieces, response
    for _ in range(2000):
        if source.closed:
            break
        await asyncio.sleep(0.02)
    assert source.closed and source.read == 1


def test_without_asgi_the_pieces_are_the_same():
    response = send_chunks(RequestFactory().get("/"), Source().chunks(), name="ключ.bin", status=206)
    assert b"".join(response.streaming_content) == WHOLE
    assert response.status_code == 206 and response["Content-Disposition"].startswith("attachment")
    assert "Content-Length" not in response


@pytest.mark.django_db(transaction=True)
async def test_a_string_of_many_pieces_leaves_whole_under_asgi(viewer, server_row, redis):
    data = bytes(range(256)) * 20_000
    redis.set("blob", data)
    client = AsyncClient()
    await client.aforce_login(viewer, backend="allauth.account.auth_backends.AuthenticationBackend")
    answer = await client.get(reverse("key_download", args=["test", 0, b"blob"]))
    assert answer.is_async
    pieces = [piece async for piece in answer.streaming_content]
    assert len(pieces) > 3 and b"".join(pieces) == data
