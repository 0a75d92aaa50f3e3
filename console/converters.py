"""Path converters: a server's name, a db's number, a key's address."""

from django.urls import register_converter


class ServerName:
    regex = r"[a-z0-9][a-z0-9_.-]{0,63}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: object) -> str:
        return str(value)


class KeyAddress:
    """Bytes in URL-safe base64 as `keyspace.encoding.key_id` writes them; left as text, so that garbage gets its sentence."""

    regex = r"[^/]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: object) -> str:
        from keyspace.encoding import key_id

        return key_id(value) if isinstance(value, bytes) else str(value)


register_converter(ServerName, "server")
register_converter(KeyAddress, "key")
