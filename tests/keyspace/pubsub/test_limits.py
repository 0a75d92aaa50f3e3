"""Limits of the live view: understood at the start, or the console says which is not."""

import pytest

from keyspace.configured import BadConfiguration
from keyspace.pubsub.limits import check_limits, limit


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("RECHECK_SECONDS", "16", "from 1 to 15, not '16'"),
        ("RECHECK_SECONDS", "0", "from 1 to 15"),
        ("SUBSCRIPTIONS", "many", "from 1 on, not 'many'"),
        ("QUEUE_BYTES", "-1", "from 1 on"),
        ("CHANNELS", "²", "from 1 on"),
    ],
)
def test_what_is_no_limit_is_refused_in_words(name: str, text: str, said: str) -> None:
    with pytest.raises(BadConfiguration, match=said) as refused:
        check_limits({f"CONSOLE_LIVE_{name}": text})
    assert f"CONSOLE_LIVE_{name}" in str(refused.value)


def test_rights_are_looked_at_every_15_seconds_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit("RECHECK_SECONDS") == 15
    environ = {"CONSOLE_LIVE_RECHECK_SECONDS": "5", "CONSOLE_LIVE_CHANNELS": ""}
    check_limits(environ)
    monkeypatch.setenv("CONSOLE_LIVE_RECHECK_SECONDS", "5")
    assert limit("RECHECK_SECONDS") == 5
