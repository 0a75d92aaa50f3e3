"""Servers that come from the environment or from a file."""

import base64
import os

import pytest

from keyspace.access import Actor
from keyspace.configured import BadConfiguration, configured_servers, read_servers_file, sync_servers
from keyspace.errors import NotFound
from keyspace.models import Grant, Server
from keyspace.servers import client_of, endpoint_of, list_servers, open_connection
from tests.certificates import make_certificates


def configured(**environ):
    return configured_servers(environ, sample_socket="/data/valkey.sock")


def test_without_anything_there_is_sample_data():
    assert configured() == {"sample": {"source": "sample", "socket": "/data/valkey.sock"}}


def test_a_host_alone():
    (fields,) = configured(REDIS_HOST="cache.example").values()
    assert (fields["source"], fields["host"], fields["port"], fields["db"], fields["tls"]) == (
        "environment",
        "cache.example",
        6379,
        0,
        False,
    )


def test_every_variable():
    servers = configured(
        REDIS_HOST="cache.example", REDIS_PORT="6380", REDIS_USER="app", REDIS_PASSWORD="hidden", REDIS_DB="3", REDIS_TLS="true",
        REDIS_NAME="Ledger Prod", REDIS_ENVIRONMENT="production",
    )  # fmt: skip
    fields = servers["ledger-prod"]
    assert (fields["port"], fields["username"], fields["password"], fields["db"], fields["tls"]) == (
        6380,
        "app",
        "hidden",
        3,
        True,
    )
    assert fields["environment"] == "production"


def test_host_and_port_in_one():
    assert configured(REDIS_HOST="cache.example:7000")["cache.example"]["port"] == 7000
    assert next(iter(configured(REDIS_HOST="::1").values()))["host"] == "::1"


@pytest.mark.parametrize(
    "wrong",
    [{"REDIS_PORT": "x"}, {"REDIS_DB": "-1"}, {"REDIS_CA_CERT": "/nowhere"}, {"REDIS_ENVIRONMENT": "prod"}],
)
def test_what_cannot_be_used_is_named(wrong):
    with pytest.raises(BadConfiguration, match=next(iter(wrong))):
        configured(REDIS_HOST="h", **wrong)


def test_a_certificate_as_text_as_a_path_and_as_base64(tmp_path):
    path = make_certificates(tmp_path).ca
    pem = path.read_text()
    for given in (pem, str(path), base64.b64encode(pem.encode()).decode(), pem.replace("\n", "\\n")):
        assert configured(REDIS_HOST="h", REDIS_CA_CERT=given)["h"]["ca_cert"] == pem


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "servers.toml"
        path.write_text(text)
        return path

    return write


def test_a_file_of_servers(file, tmp_path):
    (tmp_path / "secret").write_text("hidden\n")
    path = file(f"""
        [servers.ledger]
        host = "10.0.0.1"
        port = 7000
        password_file = "{tmp_path}/secret"
        environment = "production"
        read_only = true
        [servers.cache]
        socket = "/run/valkey.sock"
        """)
    servers = read_servers_file(path)
    assert servers["ledger"]["password"] == "hidden" and servers["ledger"]["read_only"] is True
    assert servers["cache"] == {"source": "file", "socket": "/run/valkey.sock"}
    both = configured(CONSOLE_SERVERS=str(path), REDIS_HOST="h")
    assert set(both) == {"ledger", "cache", "h"}
    assert set(configured(CONSOLE_SERVERS=str(path))) == {"ledger", "cache"}


@pytest.mark.parametrize(
    ("text", "word"),
    [("nonsense", "not TOML"), ("", "no \\[servers"), ("[servers.Big]\n", "lower-case"), ("[servers.a]\nhots = 'x'", "a.hots"),
     ("[servers.a]\nport = 'x'", "a.port"), ("[servers.a]\nport = true", "a.port"), ("[servers.a]\ntls = 1", "a.tls"),
     ("[servers.a]\npassword_file = '/nowhere'", "password_file"), ("[servers.a]\nca_cert = 'nonsense'", "a.ca_cert"),
     ("[servers.a]\nenvironment = 'prod'", "a.environment"), ("[servers]\na = 1", "not a table"), ("servers = 1", "no \\[servers")],
)  # fmt: skip
def test_a_file_that_cannot_be_used_says_where(file, text, word):
    with pytest.raises(BadConfiguration, match=word):
        read_servers_file(file(text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadConfiguration, match="cannot be read"):
        configured(CONSOLE_SERVERS=str(tmp_path / "none.toml"))


def test_a_refusal_tells_no_secret(file):
    with pytest.raises(BadConfiguration) as told:
        read_servers_file(file("[servers.a]\npassword = ['hidden']"))
    assert "hidden" not in str(told.value)


@pytest.fixture
def sync(settings):
    def apply(servers):
        settings.CONFIGURED_SERVERS = servers
        sync_servers(servers)

    return apply


def test_a_configured_server_is_reached_and_its_secret_stays_outside(db, sync, new_server):
    running = new_server("valkey9", requirepass="hidden")
    sync(
        {
            "outside": {
                "source": "environment",
                "host": running.host,
                "port": running.port,
                "password": "hidden",
            }
        }
    )
    row = Server.objects.get(name="outside")
    assert client_of(row).ping() and row.password_secret == ""
    assert "hidden" not in repr(endpoint_of(row))


def test_what_is_taken_out_of_the_configuration_goes_back_to_its_default(db, sync):
    sync(
        {"outside": {"source": "file", "host": "h", "read_only": True, "environment": "production", "db": 3}}
    )
    sync({"outside": {"source": "file", "host": "h"}})
    row = Server.objects.get(name="outside")
    assert (row.read_only, row.environment, row.db) == (False, "", 0)


def test_nothing_is_written_when_nothing_changed(db, sync, django_assert_num_queries):
    servers = {"outside": {"source": "file", "host": "h"}}
    sync(servers)
    with django_assert_num_queries(1):
        sync_servers(servers)


def test_a_server_that_is_configured_no_longer_keeps_its_grants_but_is_not_listed(db, sync, make_person):
    sync({"outside": {"source": "file", "host": "h"}})
    row = Server.objects.get(name="outside")
    ana = make_person("ana", "viewer", server=row)
    actor = Actor(ana, "ana")
    assert [server.name for server in list_servers(actor)] == ["outside"]
    sync({})
    assert list_servers(actor) == [] and Grant.objects.count() == 1
    with pytest.raises(NotFound, match="no longer configured"):
        open_connection(actor, "outside").redis  # noqa: B018
    sync({"outside": {"source": "file", "host": "h"}})
    assert [server.name for server in list_servers(actor)] == ["outside"]


def test_a_name_that_is_stored_already_is_refused(server_row, sync):
    with pytest.raises(BadConfiguration, match="already stored"):
        sync({"test": {"source": "file", "host": "h"}})


def test_the_tests_themselves_see_no_configuration():
    assert not [name for name in os.environ if name.startswith("REDIS_")]
