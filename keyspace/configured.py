"""Servers that are configured outside: REDIS_HOST and its neighbours, and the TOML file named by CONSOLE_SERVERS."""

import base64
import binascii
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAMPLE_NAME = "sample"
_YES = {"1", "true", "yes", "on"}
_TEXTS = {"host", "socket", "username", "password", "ca_cert", "client_cert", "client_key", "environment"}
_FILES = {"ca_cert", "client_cert", "client_key"}
_NUMBERS = {"port", "db"}
_SWITCHES = {"tls", "tls_check_hostname", "read_only"}
_KINDS = {**dict.fromkeys(_TEXTS, str), **dict.fromkeys(_NUMBERS, int), **dict.fromkeys(_SWITCHES, bool)}
ENVIRONMENTS = ("", "production", "staging", "development")


class BadConfiguration(Exception):
    """The configuration cannot be used; the message says what to change."""


def configured_servers(environ: Mapping[str, str], *, sample_socket: str) -> dict[str, dict[str, Any]]:
    """Name -> fields of Server and Endpoint plus `source`. Raises BadConfiguration."""
    servers: dict[str, dict[str, Any]] = {}
    if environ.get("CONSOLE_SERVERS"):
        servers |= read_servers_file(Path(environ["CONSOLE_SERVERS"]))
    if environ.get("REDIS_HOST"):
        servers |= _from_environment(environ)
    elif not servers:
        servers[SAMPLE_NAME] = {"source": "sample", "socket": sample_socket}
    return servers


def _from_environment(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    host, port = environ["REDIS_HOST"], environ.get("REDIS_PORT") or "6379"
    if host.count(":") == 1 and host.rpartition(":")[2].isdigit():
        host, _, port = host.partition(":")
    fields: dict[str, Any] = {
        "source": "environment", "host": host, "port": _number("REDIS_PORT", port),
        "username": environ.get("REDIS_USER", ""), "password": environ.get("REDIS_PASSWORD", ""),
        "db": _number("REDIS_DB", environ.get("REDIS_DB") or "0"), "tls": environ.get("REDIS_TLS", "").lower() in _YES,
        "environment": environ.get("REDIS_ENVIRONMENT", ""), "ca_cert": _pem("REDIS_CA_CERT", environ.get("REDIS_CA_CERT", "")),
    }  # fmt: skip
    _check_environment("REDIS_ENVIRONMENT", fields["environment"])
    name = re.sub(r"[^a-z0-9_.-]+", "-", (environ.get("REDIS_NAME") or host).lower()).strip("-._") or "redis"
    return {name[:64]: fields}


def _number(what: str, text: str) -> int:
    if not text.isdigit():
        raise BadConfiguration(f"{what} must be a number, not {text!r}.")
    return int(text)


def _pem(what: str, value: str) -> str:
    """PEM text given as such, as base64 of it, or as the path of a file."""
    if not value or "-----BEGIN" in value:
        return value.replace("\\n", "\n")
    for read in (_from_base64, _from_file):
        text = read(value)
        if "-----BEGIN" in text:
            return text
    raise BadConfiguration(f"{what} is neither a certificate (PEM) nor a file that can be read.")


def _from_base64(value: str) -> str:
    try:
        return base64.b64decode("".join(value.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _from_file(value: str) -> str:
    try:
        return Path(value).read_text()
    except (OSError, ValueError):
        return ""


def read_servers_file(path: Path) -> dict[str, dict[str, Any]]:
    """The TOML file: one table a server, `[servers.<name>]`, keys as the fields of Server; `password_file` reads a secret from a file."""
    try:
        tables = tomllib.loads(path.read_text())["servers"]
    except OSError as error:
        raise BadConfiguration(f"CONSOLE_SERVERS: {path} cannot be read ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"CONSOLE_SERVERS: {path} is not TOML: {error}.") from None
    except KeyError:
        raise BadConfiguration(f"CONSOLE_SERVERS: {path} has no [servers.<name>] table.") from None
    if not isinstance(tables, dict):
        raise BadConfiguration(f"CONSOLE_SERVERS: {path} has no [servers.<name>] table.")
    return {name: _from_table(name, table) for name, table in tables.items()}


def _from_table(name: str, table: dict[str, Any]) -> dict[str, Any]:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name):
        rule = "must be lower-case letters, digits, dots, dashes and underscores"
        raise BadConfiguration(f"CONSOLE_SERVERS: {name!r} {rule}.")
    if not isinstance(table, dict):
        raise BadConfiguration(f"CONSOLE_SERVERS: {name} is not a table.")
    table = dict(table)
    if "password_file" in table:
        table["password"] = _secret(name, table.pop("password_file"))
    for field, value in table.items():
        if type(value) is not _KINDS.get(field):
            raise BadConfiguration(
                f"CONSOLE_SERVERS: {name}.{field} = {type(value).__name__} is not understood."
            )
    for field in _FILES & table.keys():
        table[field] = _pem(f"CONSOLE_SERVERS: {name}.{field}", table[field])
    _check_environment(f"CONSOLE_SERVERS: {name}.environment", table.get("environment", ""))
    return {"source": "file", **table}


def _secret(name: str, path: Any) -> str:
    try:
        return Path(path).read_text().rstrip("\r\n")
    except (OSError, TypeError, UnicodeDecodeError):
        raise BadConfiguration(f"CONSOLE_SERVERS: {name}.password_file cannot be read.") from None


def _check_environment(what: str, value: str) -> None:
    if value not in ENVIRONMENTS:
        raise BadConfiguration(f"{what} must be one of {', '.join(ENVIRONMENTS[1:])}, not {value!r}.")


def sync_servers(configured: Mapping[str, Mapping[str, Any]]) -> None:
    """Make the rows agree with the configuration; secrets stay where they are configured.

    A row whose server is no longer configured stays, with its grants, but is not listed.
    """
    from keyspace.models import Server

    fields_of_row = [
        field for field in Server._meta.concrete_fields if field.name not in ("id", "name", "changed_at")
    ]
    as_new = {field.name: field.get_default() for field in fields_of_row} | {"host": ""}
    for name, fields in configured.items():
        known = Server.objects.filter(name=name).first()
        if known is not None and known.source == Server.Source.STORED:
            raise BadConfiguration(
                f"A server called {name} is already stored: remove it on the Servers page, or rename the configured one."
            )
        wanted = {field: fields.get(field, value) for field, value in as_new.items()}
        if known is None or any(getattr(known, field) != value for field, value in wanted.items()):
            Server.objects.update_or_create(name=name, defaults=wanted)
