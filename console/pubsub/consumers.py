"""The live socket: checks who is there, hands over what they ask for, pumps frames. All the rest is in keyspace.pubsub."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from console.pubsub import control
from console.pubsub.requests import Allowance, BadFrame, read_request
from console.pubsub.sessions import SignedOut, connect_again
from keyspace.errors import Problem, explain
from keyspace.pubsub.filters import read_filter
from keyspace.pubsub.limits import limit
from keyspace.pubsub.live import Live, watch_channels
from keyspace.pubsub.recording_file import Header
from keyspace.pubsub.recording_runs import start_recording, stop_recording
from keyspace.pubsub.replays import replay_recording
from keyspace.pubsub.subscriptions import read_subscriptions
from keyspace.pubsub.viewers import Frame, control_frame, encode_json
from keyspace.servers import Connection, endpoint_of

log = logging.getLogger(__name__)
SIGN_IN, NOT_ALLOWED, TOO_MANY, STUCK, CHANGED = 4401, 4403, 4429, 4410, 1012
STUCK_SECONDS = 60
ALIVE_EVERY = 5.0  # seconds


class LiveConsumer(AsyncWebsocketConsumer):
    groups = [control.GROUP]
    live: Live | None = None
    person: int | None = None
    _replay: "asyncio.Task[None] | None" = None

    async def connect(self) -> None:
        control.use_running_loop()
        self._allowance, self._tasks = Allowance(), set[asyncio.Task[None]]()
        await self.accept()
        try:
            await self._open(await connect_again(self.scope, self._server))
        except Exception as error:  # whatever it was, the person is told
            await self._end(error)

    async def _open(self, connection: Connection) -> None:
        self.person = connection.actor.user.pk
        self.live = await watch_channels(connection)
        self._answer("hello", server=connection.server.name)
        self._start(self._pump(self.live))
        self._start(self._keep_checking())
        self._start(self._keep_alive())

    @property
    def _server(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["server"])

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _pump(self, live: Live) -> None:
        with contextlib.suppress(OSError):  # the browser has gone: `disconnect` follows
            async for frame in live.frames():
                await self.send(bytes_data=frame)

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(limit("RECHECK_SECONDS"))
            await self._recheck()

    async def _keep_alive(self) -> None:
        """A browser that hears nothing for a while takes the socket for dead."""
        while self.live is not None:
            self.live.viewer.offer(control_frame("alive", droppable=True))
            await asyncio.sleep(ALIVE_EVERY)

    async def _recheck(self) -> None:
        """Whoever may not watch any more is told and sent away; whose grant became narrower sees less from now on."""
        live = self.live
        if live is None:
            return
        try:
            now = await connect_again(self.scope, self._server)
            if endpoint_of(now.server) != live.hub.endpoint:
                await self._close(CHANGED, "The server's settings were changed.")
                return
            live.set_access(now.access)
            live.connection = now
        except Exception as error:  # as in connect
            await self._end(error)
            return
        if live.viewer.stuck_for > STUCK_SECONDS:
            await self._close(STUCK, f"Your browser took nothing for {STUCK_SECONDS} seconds.")

    async def live_recheck(self, event: dict[str, Any]) -> None:
        if event["user"] is None or event["user"] == self.person:
            await self._recheck()

    async def live_signed_out(self, event: dict[str, Any]) -> None:
        if event["session"] == control.session_mark(self.scope["session"].session_key or ""):
            await self._end(SignedOut("You signed out.", "Sign in again."))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.live is None:
            return
        try:
            self._allowance.spend()
            request = read_request(text_data, bytes_data)
            answer = _ANSWERS.get(request["op"])
            if answer is None:
                raise BadFrame(4400, f"There is no op {request['op'][:40]!r}.")
            await answer(self, self.live, request)
        except BadFrame as error:
            await self._close(error.code, error.reason)
        except Exception as error:  # one request failed: that is told, and the stream goes on
            await self._tell_problem(error)

    async def _watch(self, live: Live, request: dict[str, Any]) -> None:
        wanted = read_subscriptions(request.get("subscriptions"), limit=limit("SUBSCRIPTIONS"))
        live.change(wanted, read_filter(request.get("filter")))
        self._answer("watching", filter=request.get("filter"))

    async def _whole(self, live: Live, request: dict[str, Any]) -> None:
        live.viewer.offer(Frame(await asyncio.to_thread(live.whole, _number(request, "id"))))

    async def _record(self, live: Live, request: dict[str, Any]) -> None:
        header = await start_recording(
            live.connection, live.subscriptions, wanted=live.filter,
            seconds=_number(request, "seconds"), size=_number(request, "bytes"), on_end=self._tell_recording,
        )  # fmt: skip
        self._tell_recording(header)

    async def _stop_recording(self, live: Live, request: dict[str, Any]) -> None:
        self._start(self._end_recording(live.connection, str(request.get("id"))))

    async def _end_recording(self, connection: Connection, number: str) -> None:
        """Beside the other requests: another process may take seconds."""
        try:
            stop = database_sync_to_async(stop_recording, thread_sensitive=False)
            self._tell_recording(await stop(connection, number))
        except Exception as error:  # as in receive
            await self._tell_problem(error)

    def _tell_recording(self, header: Header) -> None:
        """Also when it ends by itself, or was stopped elsewhere."""
        self._answer(
            "recording", id=header.id, began=header.began, state=header.state, why=header.why,
            messages=header.messages, size=header.size, gaps=len(header.gaps),
        )  # fmt: skip

    async def _start_replay(self, live: Live, request: dict[str, Any]) -> None:
        await self._stop_replay(live, request)
        frames = await replay_recording(
            live.connection, str(request.get("id")), since=_number(request, "since"),
            speed=_number(request, "speed"), wanted=read_filter(request.get("filter")),
        )  # fmt: skip
        self._replay = self._start(self._play(frames))

    async def _play(self, frames: Any) -> None:
        try:
            async for frame in frames:
                await self.send(bytes_data=frame.data)
        except OSError:
            return  # as in _pump, or a file that is gone
        except Exception as error:  # a damaged file, for one
            await self._tell_problem(error)

    async def _stop_replay(self, live: Live, request: dict[str, Any]) -> None:
        if self._replay is not None:
            await _cancel(self._replay)
            self._replay = None

    def _answer(self, kind: str, **content: Any) -> None:
        if self.live is not None:
            self.live.viewer.offer(Frame(encode_json({"t": kind, **content})))

    async def _tell_problem(self, error: BaseException) -> None:
        problem = _problem(error)
        self._answer("problem", sentence=problem.sentence, advice=problem.advice)

    async def _end(self, error: BaseException) -> None:
        """The last frame says why, then the socket closes."""
        problem = _problem(error)
        await self.send(
            bytes_data=encode_json({"t": "end", "sentence": problem.sentence, "advice": problem.advice})
        )
        code = {401: SIGN_IN, 429: TOO_MANY}.get(
            problem.status, NOT_ALLOWED if problem.status < 500 else 1011
        )
        await self._close(code, problem.sentence)

    async def _close(self, code: int, reason: str) -> None:
        await self._leave()
        await self.close(code=code, reason=reason.encode()[:120].decode(errors="ignore"))

    async def _leave(self) -> None:
        live, self.live = self.live, None
        if live is not None:
            await live.close()

    async def disconnect(self, code: int) -> None:
        await self._leave()
        for task in list(self._tasks):
            await _cancel(task)


async def _cancel(task: "asyncio.Task[None]") -> None:
    if task is not asyncio.current_task():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _problem(error: BaseException) -> Problem:
    problem = explain(error)
    if problem.status == 500:
        log.error("unexpected %s on a live socket", type(error).__name__, exc_info=error)
    return problem


def _number(request: dict[str, Any], name: str) -> int:
    """A whole number of the request, 0 when it is not given or none."""
    value = request.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


Answer = Callable[[LiveConsumer, Live, dict[str, Any]], Awaitable[None]]
_ANSWERS: dict[str, Answer] = {
    "watch": LiveConsumer._watch, "whole": LiveConsumer._whole, "record": LiveConsumer._record,
    "stop_recording": LiveConsumer._stop_recording, "replay": LiveConsumer._start_replay, "stop_replay": LiveConsumer._stop_replay,
}  # fmt: skip
