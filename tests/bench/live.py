"""The live view under load: publisher, server, console and browsers share the machine, as the issue has it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.http import Console
from tests.bench.measure import Figures, figure, percentile
from tests.servers import RunningServer, start_server

LADDER = (20_000, 50_000, 100_000, 200_000)
SECONDS = float(os.environ.get("LIVE_SECONDS", "10"))
OVERLOAD_SECONDS = SECONDS * 3
CHANNEL = "bench"
TRIES = 2  # a machine that others use as well may fail a rung once
MOST_MS, MOST_MB = 150.0, 64.0
KEPT_UP = 0.97  # of a rate that a publisher has to reach for the rung to count


class Part:
    """One of live_parts in a process of its own."""

    def __init__(self, *arguments: Any, ready: bool = False) -> None:
        command = [sys.executable, "-m", "tests.bench.live_parts", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if ready:
            assert self.process.stdout.readline() == "ready\n"

    def result(self) -> dict[str, Any]:
        out, _ = self.process.communicate()
        return dict(json.loads(out))

    def stop(self) -> dict[str, Any]:
        self.process.terminate()
        return self.result()


def publish(server: RunningServer, rate: int, seconds: float) -> tuple[int, bool]:
    """How many were sent, and whether the rate was kept."""
    sent = Part("publish", server.socket, CHANNEL, rate, seconds).result()
    return sent["sent"], sent["sent"] / sent["seconds"] >= rate * KEPT_UP


class Scene:
    """A server, a console that knows it as "live", and an admin's cookie."""

    def __init__(self) -> None:
        from keyspace.models import Server
        from tests.bench.__main__ import admin_cookie

        self.server = start_server("valkey9")
        Server.objects.update_or_create(name="live", defaults={"socket": self.server.socket, "host": ""})
        self.cookie = admin_cookie()
        self.console = Console({"CONSOLE_LIVE_SOCKETS_PER_PERSON": "200"}, self.cookie)

    def watch(self, sockets: int, channel: str = CHANNEL) -> Part:
        return Part("watch", self.console.port, self.cookie, "live", channel, sockets, ready=True)

    def stop(self) -> None:
        self.console.stop()
        self.server.stop()


def run() -> Figures:
    scene = Scene()
    try:
        figures = idle(scene)  # first: memory that a flood leaves behind would hide what a viewer takes
        ladder, lossless = lossless_rate(scene)
        figures |= ladder
        for bench in (fanout, latency):
            figures |= bench(scene)
        return figures | overload(scene, max(lossless, LADDER[0]) * 2)
    finally:
        scene.stop()


def climb(scene: Scene, listener: str) -> int:
    """The highest rate of the ladder of which every message arrived."""
    highest = 0
    for rate in LADDER:
        if not any(arrives_whole(scene, listener, rate) for _ in range(TRIES)):
            break
        highest = rate
    return highest


def arrives_whole(scene: Scene, listener: str, rate: int) -> bool:
    part = scene.watch(1) if listener == "watch" else Part("listen", scene.server.socket, CHANNEL, ready=True)
    sent, kept = publish(scene.server, rate, SECONDS)
    time.sleep(1)
    result = part.stop()
    arrived = result["viewers"][0]["shown"] if listener == "watch" else result["received"]
    print(f"  {listener} {rate}: sent {sent} ({'kept' if kept else 'not kept'}), whole {arrived}", flush=True)
    return bool(arrived == sent and kept)


def lossless_rate(scene: Scene) -> tuple[Figures, int]:
    reference, ours = climb(scene, "listen"), climb(scene, "watch")
    return {"live_lossless": figure(ours, reference, "msg/s")}, ours


def fanout(scene: Scene) -> Figures:
    """The share of 50 viewers' messages that arrived; 1 is all."""
    viewers = scene.watch(50)
    client = scene.server.client()
    subscriptions = client.execute_command("PUBSUB", "NUMSUB", CHANNEL)[1]
    sent, _ = publish(scene.server, 20_000, SECONDS)
    time.sleep(2)
    counts = viewers.stop()["viewers"]
    share = sum(one["shown"] for one in counts) / (sent * 50)
    return {"live_fanout": figure(share, 1.0, f"of all, whole; {subscriptions} subscription on the server")}


def latency(scene: Scene) -> Figures:
    viewer = scene.watch(1)
    publish(scene.server, 1000, SECONDS)
    time.sleep(0.5)
    return {
        "live_latency": figure(
            viewer.stop()["p95_ms"], MOST_MS, "ms, p95 of each frame's oldest message, of what may be"
        )
    }


def idle(scene: Scene) -> Figures:
    """100 viewers of a silent channel: share of a core, and memory each."""
    before = scene.console.memory_mb()
    viewers = scene.watch(100, "silence")
    time.sleep(1)
    memory, busy = scene.console.memory_mb() - before, cpu_seconds(scene)
    time.sleep(5)
    share = (cpu_seconds(scene) - busy) / 5
    viewers.stop()
    return {"live_idle_cpu": figure(share * 100, None, "% of a core, 100 viewers"),
            "live_idle_memory": figure(memory * 1024 / 100, None, "kB a viewer")}  # fmt: skip


def cpu_seconds(scene: Scene) -> float:
    fields = Path(f"/proc/{scene.console.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def overload(scene: Scene, rate: int) -> Figures:
    """Twice what reaches a browser whole, for long: what is not shown is counted, memory and pages hold."""
    quiet = page_times(scene, 4)
    viewer = scene.watch(1)
    before = scene.console.memory_mb()
    publisher = Part("publish", scene.server.socket, CHANNEL, rate, OVERLOAD_SECONDS)
    loaded, most = page_times(scene, OVERLOAD_SECONDS - 1, watch=scene), before
    most = max(before, *(memory for _, memory in loaded))
    sent = publisher.result()["sent"]
    time.sleep(3)
    counts = viewer.stop()["viewers"][0]
    quiet += page_times(scene, 4)  # before and after: a machine that drifts slows both
    accounted = counts["shown"] + counts["dropped"]
    print(
        f"  overload {rate}: sent {sent}, shown {counts['shown']}, dropped {counts['dropped']}, gaps {counts.get('gaps', 0)}",
        flush=True,
    )
    idle_p95, busy_p95 = (percentile([took for took, _ in times], 0.95) for times in (quiet, loaded))
    return {
        "live_overload_memory": figure(most - before, MOST_MB, "MB of growth, of what may be"),
        "live_overload_counts": figure(accounted, sent, "received + dropped over sent"),
        "live_overload_page": figure(busy_p95 * 1000, idle_p95 * 1000, "ms, p95 of a keys page"),
    }


def page_times(scene: Scene, seconds: float, watch: Scene | None = None) -> list[tuple[float, float]]:
    """(seconds, MB of the console) of keys pages asked one after the other."""
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        scene.console.get("/servers/live/0/keys/?view=list")
        times.append((time.perf_counter() - began, scene.console.memory_mb() if watch else 0.0))
        time.sleep(0.05)
    return times
