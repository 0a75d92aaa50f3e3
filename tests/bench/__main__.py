"""Run every bench, print a table with the bounds, write bench.json; exit 1 when a bound is broken."""

import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.servers import RunningServer, start_server

AT_MOST = {
    "browse_page": 2.5,
    "browse_flat": 1.2,
    "search_all": 1.3,
    "true_counts": 3.0,
    "neighbour": 2.0,
    "big_open": 1.5,
    "page_http": 4.0,
    "edit_http": 2.0,
    "pull": 1.3,
    "pull_memory": 1.0,
    "compare_memory": 1.0,
    "export": 1.5,
    "restore": 1.4,
    "verify": 1.3,
    "bulk_delete": 1.6,
    "bulk_ttl": 1.6,
    "bulk_neighbour": 1.0,
    "export_keys": 1.5,
    "live_latency": 1.0,
    "live_overload_memory": 1.0,
    "live_overload_page": 3.0,
}
AT_LEAST = {"live_lossless": 0.5, "live_fanout": 1.0, "live_overload_counts": 1.0}
MORE = ("live", "backups", "bulk")


def main() -> int:
    wanted = set(sys.argv[1:])
    began, figures = time.time(), {}
    with (
        start_server("valkey9") as large,
        start_server("valkey9") as small,
        tempfile.TemporaryDirectory() as data,
    ):
        prepare_django(large, small, data)
        for name in ("keys", "http", *MORE):
            if not wanted or name in wanted:
                figures |= run_part(name, large, small)
    Path("bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    broken = [name for name, row in figures.items() if is_broken(name, row.get("ratio"))]
    print_table(figures, broken)
    print(f"{time.time() - began:.0f} s in all; over the bound: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


def is_broken(name: str, ratio: float | None) -> bool:
    return ratio is not None and not AT_LEAST.get(name, 0) <= ratio <= AT_MOST.get(name, 1e9)


def prepare_django(large: RunningServer, small: RunningServer, data: str) -> None:
    servers = Path(data) / "servers.toml"
    servers.write_text("".join(
        f'[servers.{name}]\nsocket = "{server.socket}"\n' for name, server in (("large", large), ("small", small))
    ))  # fmt: skip
    os.environ |= {"CONSOLE_DATA_DIR": data, "CONSOLE_SERVERS": str(servers), "DJANGO_SETTINGS_MODULE": "console.settings",
                   "CONSOLE_REQUEST_LOG_LEVEL": "ERROR"}  # fmt: skip
    os.environ.pop("REDIS_HOST", None)
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from keyspace.configured import sync_servers
    from keyspace.sample import fill

    sync_servers(settings.CONFIGURED_SERVERS)
    fill(large.client(), keys=1_000_000)
    fill(small.client(), keys=10_000)


def run_part(name: str, large: RunningServer, small: RunningServer) -> dict[str, Any]:
    print(f"… {name}", flush=True)
    if name == "keys":
        from tests.bench import keys

        return keys.run(large, admin_connection("large"))
    if name == "http":
        return run_http(large)
    if importlib.util.find_spec(f"tests.bench.{name}") is None:
        return {}
    figures: dict[str, Any] = importlib.import_module(f"tests.bench.{name}").run()
    return figures


def run_http(large: RunningServer) -> dict[str, Any]:
    from tests.bench import http

    giants = http.fill_giants(large)
    console = http.Console({}, admin_cookie())
    try:
        return http.run(console, large="large", small="small", giants=giants)
    finally:
        console.stop()


def admin() -> Any:
    from django.contrib.auth.models import User

    from keyspace.models import Grant

    user, new = User.objects.get_or_create(username="admin")
    if new:
        user.set_password(os.urandom(16).hex())
        user.save()
        Grant.objects.create(user=user, role="admin")
    return user


def admin_connection(server: str) -> Any:
    from keyspace.access import Actor
    from keyspace.servers import open_connection

    return open_connection(Actor(admin(), "admin"), server, 0)


def admin_cookie() -> str:
    """A session as signing in makes it."""
    from django.test import Client

    client = Client()
    client.force_login(admin(), backend="allauth.account.auth_backends.AuthenticationBackend")
    return client.cookies["keyspace_session"].value


def print_table(figures: dict[str, Any], broken: list[str]) -> None:
    print(f"{'name':<24}{'ratio':>8}{'at most':>9}{'ours':>12}{'reference':>12}  unit")
    for name, row in figures.items():
        ratio, reference = row.get("ratio"), row.get("reference")
        cells = [f"{ratio:.2f}" if ratio else "", f"{AT_MOST[name]:.1f}" if name in AT_MOST else ""]
        cells += [f"{row['ours']:.3f}", f"{reference:.3f}" if reference else ""]
        print(
            f"{name:<24}{cells[0]:>8}{cells[1]:>9}{cells[2]:>12}{cells[3]:>12}  {row['unit']}{'  OVER' if name in broken else ''}"
        )


if __name__ == "__main__":
    sys.exit(main())
