"""Problems that no server takes part in: what was typed or addressed cannot be understood, or nobody foresaw it.

What servers do to us is in test_failures.py.
"""

import pytest

FRAGMENT = {"HX-Request": "true", "HX-Current-URL": "http://testserver/servers/test/0/keys/"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/servers/test/999/keys/?view=list", 404),
        ("/servers/test/9999999999/keys/", 400),
        ("/servers/test/0/keys/~~/", 400),
        ("/servers/test/0/keys/YQ==/", 400),
        ("/servers/test/0/rows/?cursor=forged", 400),
        ("/servers/test/0/rows/?have=x", 400),
        ("/servers/test/0/keys/?type=nonsense", 400),
        ("/servers/test/0/keys/?ttl=nonsense", 400),
        ("/servers/test/0/keys/?view=nonsense", 400),
        ("/servers/test/0/keys/?match=" + "x" * 100_000, 400),
        ("/servers/nowhere/", 404),
        ("/no/such/page/", 404),
    ],
    ids=lambda value: str(value)[:50],
)
def test_bad_input_gets_a_sentence(admin_client, path, status):
    for headers in ({}, FRAGMENT):
        answer = admin_client.get(path, headers=headers)
        assert answer.status_code == status, (path[:60], answer.status_code)
        assert 'role="alert"' in answer.content.decode()


def test_what_nobody_foresaw_is_logged_and_tells_no_secret(admin_client, monkeypatch):
    def explode(*_, **__):
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("console.servers.views.read_overview", explode)
    answer = admin_client.get("/servers/test/")
    assert answer.status_code == 500 and "hunter2" not in answer.content.decode()
    assert answer["X-Request-Id"] in answer.content.decode()
