"""The sample server: an embedded Valkey that is filled the first time, topped up later, and kept moving."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry

from keyspace import embedded
from keyspace.sample import KEYS, fill, top_up, traffic

_WORTH_WAITING_FOR = 100_000
_STOP_SECONDS = 3.0
_PAUSE_BEFORE_TOP_UP = 2.0
_LOOK_SECONDS, _LONGEST_PAUSE = 2.0, 60.0
Say = Callable[[str], None]
log = logging.getLogger(__name__)


@dataclass
class SampleServer:
    """A running sample server of about `keys` keys; `stop` it. When its Valkey ends by itself, it is started anew."""

    server: embedded.EmbeddedServer
    keys: int
    ending: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for work in (self._move, self._watch):
            self.threads.append(threading.Thread(target=work, name=f"sample{work.__name__}", daemon=True))
            self.threads[-1].start()

    def stop(self) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join(_STOP_SECONDS)
        self.server.stop()

    def _move(self) -> None:
        # The console answers its first requests before anything heavy begins.
        if self.ending.wait(_PAUSE_BEFORE_TOP_UP):
            return
        redis = _client(self.server.socket)
        with suppress(redis_py.RedisError):
            top_up(redis, self.keys)
        traffic(redis, self.ending, keys=self.keys)

    def _watch(self) -> None:
        """Start the Valkey again when it has gone: somebody sent it SHUTDOWN, or the kernel took its memory."""
        pause = _LOOK_SECONDS
        while not self.ending.wait(pause):
            if self.server.process.poll() is None:
                pause = _LOOK_SECONDS
                continue
            log.warning(
                "the sample server ended with %s; it is started again", self.server.process.returncode
            )
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                self.server.stop()
                self.server = embedded.start(self.server.directory, socket=self.server.socket)
            except embedded.StartFailed as error:
                log.error("%s", error)


def start_sample(
    directory: Path,
    *,
    socket: Path,
    keys: int | None,
    say: Say,
    meanwhile: Callable[[], object] = lambda: None,
) -> SampleServer:
    """Start the server of `directory` with `keys` sample keys (None: as many as before, or 50 000 the first time).

    `say` is told, in sentences, of what takes longer than a moment; `meanwhile` is done while the data load.
    Raises embedded.StartFailed.
    """
    server = embedded.start(
        directory, socket=socket, on_loading=lambda: say("Loading the sample data ..."), meanwhile=meanwhile
    )
    try:
        wanted = _fill_when_due(_client(server.socket), directory / "filled", keys, say)
        sample = SampleServer(server, wanted)
        sample.start()
        return sample
    except BaseException:
        server.stop()
        raise


def _client(socket: Path) -> "redis_py.Redis":
    return redis_py.Redis(
        unix_socket_path=str(socket),
        retry=Retry(NoBackoff(), 0),
        socket_timeout=60,
        client_name="sample-traffic",
    )


def _fill_when_due(redis: "redis_py.Redis", mark: Path, keys: int | None, say: Say) -> int:
    """Fill an empty server, and one whose filling was interrupted (`mark` is written after it); gives the keys to keep up."""
    filled = mark.read_text().strip() if mark.exists() else ""
    wanted = keys or int(filled or KEYS)
    there = int(redis.dbsize())
    if filled and there:
        if wanted - there > _WORTH_WAITING_FOR:
            say(f"Adding {wanted - there:,} keys of sample data ...")
            top_up(redis, wanted)
    else:
        if not filled:
            redis.flushall()
        say(f"Filling the sample server with {wanted:,} keys ...")
        fill(redis, wanted, on_progress=_every_tenth(wanted, say))
        # From here on the next start reads one compact file instead of every command of the filling.
        with suppress(redis_py.ResponseError):  # it may have begun by itself
            redis.bgrewriteaof()
    mark.write_text(f"{wanted}\n")
    return wanted


def _every_tenth(wanted: int, say: Say) -> Callable[[int], None]:
    """Tells every tenth of a long filling."""
    told = 0

    def progress(done: int) -> None:
        nonlocal told
        if wanted >= 5 * _WORTH_WAITING_FOR and done * 10 // wanted > told:
            told = done * 10 // wanted
            say(f"  {done:,} of {wanted:,}")

    return progress
