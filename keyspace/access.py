"""Who may do what: permissions, roles, what a person's grants add up to, and the decorator that holds every
service to it.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from keyspace import audit
from keyspace.encoding import from_text, to_text
from keyspace.errors import Denied, NotFound, Problem, explain
from keyspace.gate import way_through
from keyspace.globs import compile_glob

if TYPE_CHECKING:
    from keyspace.models import Grant


class Permission(StrEnum):
    SEE_SERVER = "see the server and its state"
    READ_KEYS = "read keys, values and TTLs"
    SUBSCRIBE = "watch channels"
    LIST_BACKUPS = "see the list of backups"
    REVEAL_VALUES = "reveal masked values"
    EDIT_VALUES = "change values"
    EDIT_TTLS = "change TTLs"
    CREATE_KEYS = "create, copy and rename keys"
    DELETE_KEYS = "delete keys"
    PUBLISH = "publish messages"
    BULK = "change many keys at once"
    BACK_UP = "trigger, open and download backups"
    RESTORE = "restore backups"
    CONFIGURE = "change the server's settings"
    MANAGE_SERVERS = "manage servers"
    MANAGE_ACCESS = "manage people and grants"
    READ_AUDIT = "read the audit"

    @property
    def writes(self) -> bool:
        """Refused on a server marked read-only."""
        return self in _WRITES

    @property
    def whole(self) -> bool:
        """Touches more than the keys of a pattern: only a grant without key patterns gives it."""
        return self in _WHOLE


P = Permission
_WRITES = {
    P.EDIT_VALUES,
    P.EDIT_TTLS,
    P.CREATE_KEYS,
    P.DELETE_KEYS,
    P.PUBLISH,
    P.BULK,
    P.RESTORE,
    P.CONFIGURE,
}
_WHOLE = {P.BACK_UP, P.RESTORE, P.CONFIGURE, P.MANAGE_SERVERS, P.MANAGE_ACCESS, P.READ_AUDIT}
_QUIET = {P.SEE_SERVER, P.READ_KEYS, P.SUBSCRIBE, P.LIST_BACKUPS, P.READ_AUDIT}

_VIEWER = frozenset({P.SEE_SERVER, P.READ_KEYS, P.SUBSCRIBE, P.LIST_BACKUPS})
_OPERATOR = _VIEWER | {P.REVEAL_VALUES, P.EDIT_VALUES, P.EDIT_TTLS, P.CREATE_KEYS, P.DELETE_KEYS, P.PUBLISH}
ROLES: dict[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "operator": _OPERATOR,
    "admin": frozenset(Permission),
}


@dataclass(frozen=True)
class Actor:
    """A person doing something: `name` as signed in (or the command's), the `address` they come from, the
    request's id.
    """

    user: Any  # a Django user, or None for the system itself
    name: str
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class Right:
    """One grant as it counts: a role, for keys and channels that match (all where empty), with values of
    some keys masked.
    """

    role: str
    patterns: tuple[bytes, ...] = ()
    channels: tuple[bytes, ...] = ()
    masks: tuple[bytes, ...] = ()

    def covers(self, name: bytes) -> bool:
        return not self.patterns or any(compile_glob(pattern).fullmatch(name) for pattern in self.patterns)

    def covers_channel(self, channel: bytes) -> bool:
        return not self.channels or any(compile_glob(pattern).fullmatch(channel) for pattern in self.channels)

    def masks_value(self, name: bytes) -> bool:
        return any(compile_glob(pattern).fullmatch(name) for pattern in self.masks)


@dataclass(frozen=True)
class Access:
    """What a person's grants on one server (or, for the console's own pages, on all servers) add up to."""

    rights: tuple[Right, ...] = field(default=())

    @property
    def role(self) -> str | None:
        """The highest role held, for display."""
        held = {right.role for right in self.rights}
        return next((role for role in reversed(ROLES) if role in held), None)

    @property
    def patterns(self) -> tuple[bytes, ...]:
        """The key patterns that bound what is seen; empty when all of it is."""
        if any(not right.patterns for right in self.rights):
            return ()
        return tuple(sorted({pattern for right in self.rights for pattern in right.patterns}))

    @property
    def channels(self) -> tuple[bytes, ...]:
        """The channel patterns that bound what is watched; empty when all may be."""
        if any(not right.channels for right in self.rights):
            return ()
        return tuple(sorted({pattern for right in self.rights for pattern in right.channels}))

    def may(self, permission: Permission, name: bytes | None = None) -> bool:
        """Whether some grant gives `permission`, for the key `name` where one is given."""
        return any(
            permission in ROLES[right.role]
            and not (permission.whole and right.patterns)
            and (name is None or right.covers(name))
            for right in self.rights
        )

    def sees(self, name: bytes) -> bool:
        return any(right.covers(name) for right in self.rights)

    def masked(self, name: bytes) -> bool:
        """Whether every grant that shows this key hides its value."""
        shown_by = [right for right in self.rights if right.covers(name)]
        return all(right.masks_value(name) for right in shown_by)


def rights_of(grants: "Iterable[Grant]") -> Access:
    """The Access of these grants of one person."""
    return Access(
        tuple(
            Right(
                grant.role,
                *(tuple(map(from_text, lines)) for lines in (grant.patterns, grant.channels, grant.masks)),
            )
            for grant in grants
        )
    )


F = TypeVar("F", bound=Callable[..., Any])


def performs(permission: Permission, *, audited: bool | None = None, operation: str = "") -> Callable[[F], F]:
    """Hold a public service to `permission`: a function, a coroutine function, or a generator of either kind.

    The service's first argument is a Connection, or an AllServers for what concerns no single server;
    an argument called `name` (bytes) or `names` (a sequence) is the keys it touches. Checks the role
    for the server and the keys, the server's read-only mark, and writes the audit entry (outcome
    "done", "denied" or "failed", with whatever the service told `audit.tell`). Reading is audited only
    when refused, unless `audited` says otherwise. The entry has the service's name, or `operation` where the
    service is the second half of another. A generator is refused at the call (an async one
    before its first item) and its entry is written at its end. Raises NotFound for a key outside the
    person's patterns, Denied otherwise.
    """
    loud = (permission not in _QUIET) if audited is None else audited

    def decorate(service: F) -> F:
        signature = inspect.signature(service)

        def call_of(subject: Any, args: Any, kwargs: Any) -> audit.Call:
            names = _names(signature.bind_partial(subject, *args, **kwargs).arguments)
            key = names[0] if len(names) == 1 else None
            check = functools.partial(_check, subject, permission, names)
            return audit.Call(subject, operation or service.__name__, key, loud, check)

        wrapper: Any = functools.wraps(service)(way_through(service, call_of))
        wrapper.permission = permission
        return wrapper  # type: ignore[no-any-return]

    return decorate


def _names(arguments: dict[str, Any]) -> list[bytes]:
    if isinstance(arguments.get("name"), bytes):
        return [arguments["name"]]
    return [name for name in arguments.get("names") or () if isinstance(name, bytes)]


def _check(subject: Any, permission: Permission, names: list[bytes]) -> None:
    access: Access = subject.access
    for name in names:
        if not access.sees(name):
            raise NotFound(
                f"There is no key {to_text(name)[:200]} here.", "It may have expired or been deleted."
            )
    for name in names or [None]:  # type: ignore[list-item]
        if not access.may(permission, name):
            raise Denied(
                f"Your role here does not let you {permission.value}.",
                "An admin can widen your grant on the Access page.",
            )
    server = getattr(subject, "server", None)
    if server is not None and server.read_only and permission.writes:
        raise Denied(f"{server.name} is marked read-only in this console; nothing was written.",
                     "An admin can lift the mark on the Servers page.")  # fmt: skip


def check_permission(subject: Any, permission: Permission, name: bytes | None = None) -> None:
    """The check of `performs` for a place that is not a service, such as a socket's handshake."""
    _check(subject, permission, [] if name is None else [name])


__all__ = [
    "ROLES",
    "Access",
    "Actor",
    "Permission",
    "Problem",
    "Right",
    "check_permission",
    "explain",
    "performs",
    "rights_of",
]
