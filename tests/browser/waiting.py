"""Waiting for what Playwright's `expect` does not look at: Redis, the database, what a test itself has noted."""

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

PATIENCE_MS = 30_000
"""For anything that has to come. Only what will never come takes so long; a machine under load may well take seconds."""


def until(page: Page, condition: Callable[[], Any]) -> Any:
    """What `condition` gives once it is true, or passes its assertions; the page's events are heard meanwhile."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while True:
        try:
            if found := condition():
                return found
            assert found, "it never came true"
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        page.wait_for_timeout(50)


def expect_no_wider(page: Page, width: int) -> None:
    """Nothing of the page stands beyond `width` pixels, once its fonts are there."""
    page.evaluate("document.fonts.ready.then(() => true)")
    until(page, lambda: page.evaluate("document.documentElement.scrollWidth") <= width)
