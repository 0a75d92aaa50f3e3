"""Sending what is read piece by piece, without ever holding all of it."""

from asyncio import get_running_loop
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

_END = b""


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
