"""How a figure is taken: ours and the reference by turns, so that a machine that drifts slows both; the medians count."""

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.servers import RunningServer

Figures = dict[str, dict[str, Any]]


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(
    name: str, ours: Callable[[], Any], reference: Callable[[], Any], *, runs: int, unit: str = "s"
) -> Figures:
    """{name: {ratio, ours, reference, unit}} from `runs` turns after one to warm up. The ratio is the median of the turns' ratios."""
    ours(), reference()
    turns = [(seconds(ours), seconds(reference)) for _ in range(runs)]
    scale = {"s": 1, "ms": 1000}[unit]
    return {
        name: figure(
            statistics.median(mine for mine, _ in turns) * scale,
            statistics.median(theirs for _, theirs in turns) * scale,
            unit,
            ratio=statistics.median(mine / theirs for mine, theirs in turns),
        )
    }


def figure(ours: float, reference: float | None, unit: str, *, ratio: float | None = None) -> dict[str, Any]:
    if ratio is None and reference:
        ratio = ours / reference
    return {"ratio": None if ratio is None else round(ratio, 3), "ours": round(ours, 4),
            "reference": None if reference is None else round(reference, 4), "unit": unit}  # fmt: skip


@contextlib.contextmanager
def neighbour(server: RunningServer) -> Iterator[list[float]]:
    """Another client that PINGs every millisecond, in a process of its own; the list holds its latencies in ms after the block."""
    import subprocess
    import sys

    code = (
        "import socket,sys,time\n"
        f"s=socket.socket(socket.AF_UNIX); s.connect({server.socket!r})\n"
        "import signal; go=[1]; signal.signal(signal.SIGTERM, lambda *a: go.clear())\n"
        "print('ready', flush=True)\n"
        "while go:\n"
        "    t=time.perf_counter(); s.sendall(b'PING\\r\\n'); s.recv(64)\n"
        "    print((time.perf_counter()-t)*1000); time.sleep(0.001)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    found: list[float] = []
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        yield found
    finally:
        process.terminate()
        process.wait()
        reader.join()
        found += [float(line) for line in lines if line.strip()]


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
