"""Every failure a person may meet, in one table: what happened, and what to try.

Services raise a `Problem`, or let an exception of redis-py through; `explain` turns either into the Problem that the page shows.
"""

import re
import socket
import ssl

from django.db.utils import DataError
from redis import exceptions as redis


class Problem(Exception):
    """A failure as one sentence (`sentence`), what to do about it (`advice`) and an HTTP `status`."""

    status = 500

    def __init__(self, sentence: str, advice: str = "", *, status: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence, self.advice = sentence, advice
        self.status = status or self.status

    def __str__(self) -> str:
        return f"{self.sentence} {self.advice}".strip()


class BadInput(Problem):
    """What was typed or addressed cannot be understood."""

    status = 400


class Denied(Problem):
    """The person's role does not go this far."""

    status = 403


class NotFound(Problem):
    """It is not there, or not there for this person."""

    status = 404


class Conflict(Problem):
    """It changed since the person looked; nothing was written."""

    status = 409


class TooLarge(Problem):
    """More than the console reads or takes at once."""

    status = 413


class Unavailable(Problem):
    """The server cannot answer now."""

    status = 503


class Unanswered(redis.ConnectionError):
    """The connection broke before the answer to a write came: whether it was written, nobody knows."""


# Exception class, beginning of the server's message, status, sentence, advice. The first row that fits is taken.
# redis-py takes the code (WRONGPASS, MOVED) off the messages it has a class for, and leaves it on the others.
TABLE: tuple[tuple[type[BaseException], str, int, str, str], ...] = (
    (DataError, "", 400, "The console's database cannot keep this: a text in it is too long, or holds the character NUL.",
     "Shorten it, or take the character out."),
    (Unanswered, "", 503, "The connection broke before the server's answer came: whether it was written is not known.",
     "Look at the key before you try again. What an edit or a deletion replaced is in the trash."),
    (redis.AuthenticationError, "HELLO must be called", 502, "The server asks for a password and none is configured.",
     "An admin can add the user and password on the Servers page."),
    (redis.AuthenticationError, "Authentication required", 502, "The server asks for a password and none is configured.",
     "An admin can add the user and password on the Servers page."),
    (redis.AuthenticationError, "", 502, "The server did not accept the user name or password.",
     "Check the credentials of this server on the Servers page, or REDIS_USER and REDIS_PASSWORD."),
    (redis.BusyLoadingError, "", 503, "The server is loading its data into memory.",
     "It answers when that is done; try again in a moment."),
    (redis.ReadOnlyError, "", 409, "This server is a read-only replica; nothing was written.",
     "Make the change on its primary."),
    (redis.OutOfMemoryError, "", 507, "The server is out of memory (maxmemory) and takes no more.",
     "Delete or expire keys, raise maxmemory, or choose an eviction policy."),
    (redis.ResponseError, "BUSY ", 503, "A script or function has been running too long and the server answers nothing else.",
     "Wait for it, or end it with SCRIPT KILL or FUNCTION KILL."),
    (redis.ResponseError, "UNKILLABLE", 409, "The script has written already and cannot be ended.", "Wait for it."),
    (redis.ResponseError, "MISCONF", 503, "The server refuses writes because its last snapshot failed; nothing was written.",
     "Look at the server's disk space and log; stop-writes-on-bgsave-error decides this."),
    (redis.MasterDownError, "", 503, "This replica has lost its primary and does not serve stale data.",
     "Wait for the link to come back, or ask the primary."),
    (redis.ResponseError, "NOREPLICAS", 503, "The server has too few healthy replicas to take writes; nothing was written.",
     "Look at its replicas (min-replicas-to-write)."),
    (redis.MovedError, "", 421, "This key lives on another node of the cluster.",
     "Configure the cluster's other nodes as servers and open the key there."),
    (redis.AskError, "", 503, "This key's slot is being moved to another node of the cluster.", "Try again in a moment."),
    (redis.TryAgainError, "", 503, "These keys' slot is being moved to another node of the cluster.", "Try again in a moment."),
    (redis.ClusterDownError, "", 503, "The cluster is down: some of its slots have no node.",
     "Look at CLUSTER INFO and the nodes."),
    (redis.ClusterCrossSlotError, "", 400, "These keys live in different slots of the cluster.",
     "Use names with the same {hash tag}."),
    (redis.MaxConnectionsError, "", 503, "The console has used up its connections to this server.", "Try again in a moment."),
    (redis.ConnectionError, "max number of clients", 503, "The server has no room for another client (maxclients).",
     "Close idle clients or raise maxclients, then try again."),
    (redis.ConnectionError, "DENIED", 502, "The server is in protected mode and refuses clients from other machines.",
     "Set a password on it, or bind it to an address and switch protected-mode off."),
    (redis.ResponseError, "DENIED", 502, "The server is in protected mode and refuses clients from other machines.",
     "Set a password on it, or bind it to an address and switch protected-mode off."),
    (redis.ResponseError, "WRONGTYPE", 409, "This command does not fit the type of the key.",
     "Reload the key: its type may have changed meanwhile."),
    (redis.ResponseError, "BUSYKEY", 409, "A key of this name exists already; nothing was written.", "Choose another name."),
    (redis.ResponseError, "NOGROUP", 404, "This consumer group, or its stream, is gone.", "Reload the key."),
    (redis.ResponseError, "DB index is out of range", 404, "The server has no db with this number.", "Choose one from the list."),
    (redis.ResponseError, "invalid DB index", 404, "The server has no db with this number.", "Choose one from the list."),
    (redis.ResponseError, "unknown type name", 400, "The server knows no type of this name.", "Choose one from the list."),
    (redis.ResponseError, "unknown command", 501, "The server does not know this command.",
     "It may be too old for it, or the command was renamed."),
    (redis.ResponseError, "unknown subcommand", 501, "The server does not know this command.",
     "It may be too old for it, or the command was renamed."),
    (redis.InvalidResponse, "", 502, "What answers at this address does not speak the protocol of Redis.",
     "Check host and port, and whether it expects TLS."),
    (redis.TimeoutError, "Timeout connecting", 504, "The server could not be reached in time.",
     "Check host, port and firewall, and that both sides agree on TLS."),
    (redis.TimeoutError, "", 504, "The server did not answer in time.",
     "It may be busy with a slow command, or the network is slow; nothing is repeated by itself."),
    (redis.ExecAbortError, "", 409, "The server refused the transaction; nothing was written.", "Reload and try again."),
    (redis.WatchError, "", 409, "The key changed meanwhile; nothing was written.", "Reload the key and look at it again."),
)  # fmt: skip

# What redis-py puts before an error in a pipeline. It holds the command's arguments, values among them: never shown.
_IN_PIPELINE = re.compile(r"^Command # \d+ .* of pipeline caused error: ", re.DOTALL)
_UNKNOWN = re.compile(r"unknown command [`'\"]?([A-Za-z.|]+)")


def explain(error: BaseException) -> Problem:
    """The Problem for any exception; a stranger to the table keeps its type's name, never its secrets."""
    if isinstance(error, Problem):
        return error
    message = _IN_PIPELINE.sub("", str(error))
    if isinstance(error, redis.NoPermissionError) or message.startswith("NOPERM"):
        return _not_permitted(message)
    for kind, beginning, status, sentence, advice in TABLE:
        if isinstance(error, kind) and _begins(message, beginning):
            return Problem(sentence, advice, status=status)
    if isinstance(error, redis.ConnectionError | OSError):
        return _connection_problem(error)
    if isinstance(error, redis.ResponseError):
        return Problem(f"The server answered: {message[:300]}", "", status=502)
    return Problem(
        "Something went wrong inside the console.", "It was logged with the request id; try again."
    )


def refusal(error: BaseException) -> str:
    """What the server said of one key of many; without the arguments of a command it does not know, which may be values."""
    unknown = _UNKNOWN.search(str(error))
    return f"the server does not know the command {unknown[1]}" if unknown else str(error)


def _begins(message: str, beginning: str) -> bool:
    return message.removeprefix("-").removeprefix("ERR ").startswith(beginning)


def _not_permitted(message: str) -> Problem:
    """NOPERM: name the ACL rule that is missing, as far as the server tells."""
    words = message.split("'")
    if "command" in message and len(words) >= 2:
        rule = "+" + words[1].lower()
        return Problem(f"The server's ACL does not allow this command to the console's user: {rule} is missing.",
                       f"An administrator of the server can run: ACL SETUSER <user> {rule}", status=403)  # fmt: skip
    what = "a channel" if "channel" in message else "a key"
    return Problem(f"The server's ACL does not let the console's user touch {what} used here.",
                   "An administrator of the server can widen the user's patterns with ACL SETUSER.", status=403)  # fmt: skip


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


def _connection_problem(error: BaseException) -> Problem:
    """Why no connection came about, in words."""
    causes = _causes(error)
    if problem := _tls_problem(causes):
        return problem
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Unavailable(
            "The server's host name is not known here.", "Check the host's spelling and the DNS."
        )
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Unavailable(
            "The server refuses connections: nothing listens at its address.",
            "Start it, or check host and port.",
        )
    if any(isinstance(cause, FileNotFoundError | PermissionError) for cause in causes):
        return Unavailable(
            "The server's unix socket or a certificate file cannot be opened.",
            "Check the path and its rights.",
        )
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return Problem(
            "The server could not be reached in time.", "Check host, port and firewall.", status=504
        )
    return Unavailable("The connection to the server broke.", "It may have restarted; try again.")


def _tls_problem(causes: list[BaseException]) -> Problem | None:
    told = " ".join(str(cause) for cause in causes)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Unavailable(
                f"The server's certificate is not trusted: {cause.verify_message}.",
                "Give the CA certificate of this server, or check the host name.",
            )
    if any(sign in told for sign in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF")):
        return Unavailable(
            "The server does not speak TLS on this port.", "Switch TLS off for it, or use its TLS port."
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Unavailable(
            "The TLS handshake with the server failed.", "It may ask for a client certificate."
        )
    return None
