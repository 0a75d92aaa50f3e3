"""Processes of ours that end when we do, however we end."""

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

Process = subprocess.Popen[bytes]
_SIGNAL_AT_PARENTS_DEATH = 1  # prctl's PR_SET_PDEATHSIG
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(command: Sequence[str | Path], *, directory: Path, log: Path) -> Process:
    """Start `command` in `directory`, its output appended to `log`. Any thread may call this.

    It gets SIGTERM when this process dies (on Linux) and nothing from the terminal: who spawned it ends it.
    """
    if threading.current_thread() is threading.main_thread():
        return _fork(command, directory, log)
    # The kernel sends the signal when the forking thread ends, so a thread that never ends has to fork.
    answer: Future[Process] = Future()
    _starter().put((command, directory, log, answer))
    return answer.result()


def _fork(command: Sequence[str | Path], directory: Path, log: Path) -> Process:
    parent = os.getpid()

    def die_with_parent() -> None:
        if _libc is not None:
            _libc.prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            start_new_session=True,
            preexec_fn=die_with_parent,  # nothing in it takes a lock
        )


_Request = tuple[Sequence[str | Path], Path, Path, "Future[Process]"]
_requests: dict[int, "queue.SimpleQueue[_Request]"] = {}
_requests_lock = threading.Lock()


def _starter() -> "queue.SimpleQueue[_Request]":
    """What this process's starting thread listens to."""
    with _requests_lock:
        if os.getpid() not in _requests:
            _requests[os.getpid()] = queue.SimpleQueue()
            threading.Thread(target=_start_for_ever, name="starter", daemon=True).start()
        return _requests[os.getpid()]


def _start_for_ever() -> None:
    requests = _requests[os.getpid()]
    while True:
        command, directory, log, answer = requests.get()
        try:
            answer.set_result(_fork(command, directory, log))
        except BaseException as error:
            answer.set_exception(error)


def birth_of(pid: int) -> str:
    """When a process started, as the system says it; empty when there is none. With the pid it is unique."""
    try:
        if _libc is not None:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return "" if state == "Z" else fields[18]
        asked = ["ps", "-o", "lstart=", "-p", str(pid)]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def end_stranger(pid: int, born: str, *, seconds: float) -> bool:
    """End a process that is not our child: TERM, then KILL, each given `seconds`. True when it is gone."""
    for deadly in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + seconds
        if not born or birth_of(pid) != born:
            return True
        os.kill(pid, deadly)
        while time.monotonic() < deadline and birth_of(pid) == born:
            time.sleep(0.01)
    return birth_of(pid) != born


def end_child(process: Process, *, seconds: float) -> None:
    """End a child of ours: TERM, then after `seconds` KILL. Does nothing when it has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
