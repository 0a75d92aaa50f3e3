"""Sending what is read piece by piece, without ever holding all of it."""

import re
from asyncio import get_running_loop
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

_END = b""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z", re.ASCII)


@dataclass(frozen=True)
class Part:
    """The bytes of a file from `first` to `last`, inclusive; `partial` where a Range header chose them."""

    first: int
    last: int
    partial: bool = False

    @property
    def size(self) -> int:
        return self.last - self.first + 1


def asked_part(request: HttpRequest, *, size: int, mark: str) -> Part | None:
    """What a Range header asks for; all of it where there is none, where it is not understood (several ranges), or where If-Range
    names other contents. None: it lies beyond the end.
    """
    whole = Part(0, size - 1)
    asked = _RANGE.match(request.headers.get("Range", ""))
    if asked is None or asked[0] == "bytes=-" or request.headers.get("If-Range", f'"{mark}"') != f'"{mark}"':
        return whole
    if not asked[1]:  # the last so many bytes
        return Part(max(0, size - int(asked[2])), size - 1, True) if int(asked[2]) and size else None
    first, last = int(asked[1]), min(int(asked[2] or size), size - 1)
    if asked[2] and int(asked[2]) < first:
        return whole
    return Part(first, last, True) if first <= last else None


def send_chunks(
    request: HttpRequest, chunks: Iterator[bytes], *, name: str, size: int | None = None, status: int = 200
) -> StreamingHttpResponse:
    """A download called `name`, of `size` bytes where that is known. Under ASGI Django would collect a plain iterator before it sends
    anything: there it is read by a thread of its own, a piece at a time, as fast as the browser takes it."""
    pieces = _from_thread(chunks) if isinstance(request, ASGIRequest) else chunks
    response = StreamingHttpResponse(pieces, status=status, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    if size is not None:
        response["Content-Length"] = str(size)
    return response


def begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, the first of which is read already: what goes wrong with it is still a page, not a broken download."""
    return _with(_next(chunks), chunks)


def _with(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


async def _from_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    loop = get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="download") as thread:
        try:
            while chunk := await loop.run_in_executor(thread, _next, chunks):
                yield chunk
        finally:
            thread.submit(_close, chunks)


def _next(chunks: Iterator[bytes]) -> bytes:
    """The next piece that holds anything; _END behind the last."""
    return next((chunk for chunk in chunks if chunk), _END)


def _close(chunks: Iterator[bytes]) -> None:
    getattr(chunks, "close", lambda: None)()
    connection.close()
