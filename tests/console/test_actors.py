"""Where somebody comes from, as the audit says it: a header alone must not be able to say so."""

import pytest
from django.test import RequestFactory

from console.actors import client_address


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "6.6.6.6", "10.0.0.9"),
        (1, "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (1, "1.2.3.4", "1.2.3.4"),
        (2, "6.6.6.6, 1.2.3.4, 10.0.0.1", "1.2.3.4"),
        (2, "1.2.3.4", "10.0.0.9"),
        (1, "", "10.0.0.9"),
        (1, "x" * 500, "x" * 64),
    ],
)
def test_the_address_is_the_one_the_last_trusted_proxy_saw(settings, proxies, forwarded, address):
    settings.TRUSTED_PROXIES = proxies
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.9", **headers)
    assert client_address(request.META) == address


def test_a_request_has_an_id_and_keeps_a_proxys(viewer_client):
    made = viewer_client.get("/")["X-Request-Id"]
    assert len(made) == 32
    assert viewer_client.get("/", headers={"X-Request-Id": "proxy-12345"})["X-Request-Id"] == "proxy-12345"
    for odd in ("short", "x" * 65, "with\ttab-in-it"):
        assert viewer_client.get("/", headers={"X-Request-Id": odd})["X-Request-Id"] != odd
