"""The browser's side of safety: the policy of the pages, the cookies, sign-in."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.people import PASSWORD

pytestmark = pytest.mark.django_db


def test_the_policy_allows_nothing_but_our_own_files_and_nonces(viewer_client):
    answer = viewer_client.get("/servers/test/0/keys/")
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy and "http:" not in policy and "*" not in policy
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    nonce = re.search(r"'nonce-([^']+)'", policy)
    page = answer.content.decode()
    scripts = re.findall(r"<script\b[^>]*>", page)
    assert nonce and scripts
    assert all(f'nonce="{nonce.group(1)}"' in script or "application/json" in script for script in scripts)
    assert not re.search(r"\son[a-z]+=|\sstyle=|javascript:", page)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)


def test_each_page_has_its_own_nonce(viewer_client):
    nonces = {
        re.search(r"'nonce-([^']+)'", viewer_client.get("/")["Content-Security-Policy"]).group(1)
        for _ in range(3)
    }
    assert len(nonces) == 3


def test_headers_keep_others_out(client):
    answer = client.get("/accounts/login/")
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"


def settings_with(**environ):
    code = (
        "import json; from django.conf import settings as s;"
        "print(json.dumps({n: getattr(s, n) for n in ('SESSION_COOKIE_SECURE','CSRF_COOKIE_SECURE','SECURE_SSL_REDIRECT',"
        "'SECURE_HSTS_SECONDS','SESSION_COOKIE_HTTPONLY','FORCE_SCRIPT_NAME','ALLOWED_HOSTS','CSRF_TRUSTED_ORIGINS','DEBUG')}))"
    )
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "console.settings"} | environ
    return json.loads(
        subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        ).stdout
    )


def test_behind_tls_every_cookie_is_secure_and_below_a_path_the_console_stays_there():
    told = settings_with(CONSOLE_ORIGIN="https://console.example.org/redis/")
    assert told["SESSION_COOKIE_SECURE"] and told["CSRF_COOKIE_SECURE"] and told["SECURE_SSL_REDIRECT"]
    assert told["SECURE_HSTS_SECONDS"] > 0 and told["SESSION_COOKIE_HTTPONLY"] and not told["DEBUG"]
    assert told["FORCE_SCRIPT_NAME"] == "/redis" and "console.example.org" in told["ALLOWED_HOSTS"]
    assert told["CSRF_TRUSTED_ORIGINS"] == ["https://console.example.org"]


def test_without_tls_on_loopback_the_cookies_still_work():
    told = settings_with(PORT="8123")
    assert not told["SESSION_COOKIE_SECURE"] and told["CSRF_TRUSTED_ORIGINS"] == ["http://127.0.0.1:8123"]


def test_sign_up_is_closed(client):
    answer = client.get("/accounts/signup/")
    assert b'name="password1"' not in answer.content
    client.post(
        "/accounts/signup/",
        {"username": "eve", "password1": "correct horse 9!", "password2": "correct horse 9!"},
    )
    from django.contrib.auth.models import User

    assert not User.objects.filter(username="eve").exists()


def test_sign_in_is_throttled(client, viewer, settings):
    from django.core.cache import cache

    cache.clear()
    for _ in range(6):
        client.post("/accounts/login/", {"login": "viewer", "password": "wrong"})
    refused = client.post("/accounts/login/", {"login": "viewer", "password": PASSWORD})
    assert refused.status_code != 302 and b"Too many" in refused.content
    cache.clear()
    assert client.post("/accounts/login/", {"login": "viewer", "password": PASSWORD}).status_code == 302


def test_a_page_from_before_a_sign_out_leads_to_sign_in(viewer_client):
    viewer_client.post("/accounts/logout/")
    answer = viewer_client.get("/servers/test/0/keys/")
    assert answer.status_code == 302 and answer["Location"].startswith("/accounts/login/?next=")
