"""Trying an endpoint before it is used: what came of it, in words, within 3 s whatever it does."""

import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, replace

import redis
from redis.exceptions import NoPermissionError

from keyspace.errors import Problem, Unavailable, explain
from keyspace.server_info import State, ask_state
from keyspace.servers import Client, Endpoint, open_client

PATIENCE = 2.8
_STEP = 1.2
# What the console's pages ask for, each in a form that does nothing. A server that lacks one answers "unknown command".
_ASKED: tuple[tuple[str, ...], ...] = (
    ("SCAN", "0", "COUNT", "1"),
    ("TYPE", "keyspace-console:check"),
    ("PTTL", "keyspace-console:check"),
    ("MEMORY", "USAGE", "keyspace-console:check"),
    ("OBJECT", "ENCODING", "keyspace-console:check"),
    ("INFO", "server"),
    ("COMMAND", "INFO", "get"),
)


@dataclass(frozen=True)
class Checked:
    """The server answered: its `state`, what its ACL does not allow the console's user (`+info`), and how long it took (ms)."""

    state: State
    lacks: tuple[str, ...]
    took: float


_checkers = ThreadPoolExecutor(16, thread_name_prefix="check")


def check_endpoint(endpoint: Endpoint, *, db: int = 0) -> Checked:
    """Connect, sign in and ask for what the console needs. Raises the Problem in words, after 2.8 s at the latest."""
    future = _checkers.submit(_check, replace(endpoint, timeout=_STEP, connect_timeout=_STEP), db)
    try:
        return future.result(timeout=PATIENCE)
    except NotYet:
        raise Unavailable(
            "The server could not be reached in time.", "Check host, port and firewall."
        ) from None


def _check(endpoint: Endpoint, db: int) -> Checked:
    began = time.monotonic()
    client = open_client(endpoint, db=db)
    try:
        client.ping()
        lacks = _find_lacks(client)
        return Checked(ask_state(client), lacks, (time.monotonic() - began) * 1000)
    except NoPermissionError as error:
        raise explain(error) from error
    except Exception as error:
        raise _tls_hint(endpoint, explain(error)) from error
    finally:
        client.close()


def _find_lacks(client: Client) -> tuple[str, ...]:
    pipe = client.pipeline(transaction=False)
    for command in _ASKED:
        pipe.execute_command(*command)
    lacks = []
    for command, reply in zip(_ASKED, pipe.execute(raise_on_error=False), strict=True):
        if isinstance(reply, NoPermissionError):
            lacks.append(_missing_rule(command, str(reply)))
        elif isinstance(reply, redis.ConnectionError | redis.TimeoutError | redis.BusyLoadingError):
            raise reply
    return tuple(dict.fromkeys(lacks))


def _missing_rule(command: tuple[str, ...], refusal: str) -> str:
    if "key" in refusal and "command" not in refusal:
        return "~*"
    with_subcommand = command[0] in {"MEMORY", "OBJECT", "COMMAND"}
    return "+" + "|".join(command[: 2 if with_subcommand else 1]).lower()


def _tls_hint(endpoint: Endpoint, problem: Problem) -> Problem:
    """Where one side speaks TLS and the other does not both only wait: ask the port which it is."""
    if endpoint.socket or problem.status not in (503, 504):
        return problem
    if endpoint.tls and problem.status == 504 and _speaks_plainly(endpoint):
        return Problem(
            "The server does not speak TLS on this port.",
            "Switch TLS off for it, or use its TLS port.",
            status=503,
        )
    if not endpoint.tls and "refuses" not in problem.sentence and _speaks_tls(endpoint):
        return Problem("The server expects TLS on this port.", "Switch TLS on for it.", status=503)
    return problem


def _speaks_plainly(endpoint: Endpoint) -> bool:
    try:
        with socket.create_connection((endpoint.host, endpoint.port), 0.5) as plain:
            plain.sendall(b"PING\r\n")
            return plain.recv(1) in (b"+", b"-")
    except OSError:
        return False


def _speaks_tls(endpoint: Endpoint) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((endpoint.host, endpoint.port), 0.7) as raw, context.wrap_socket(raw):
            return True
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error) or "HANDSHAKE_FAILURE" in str(error)
    except OSError:
        return False
