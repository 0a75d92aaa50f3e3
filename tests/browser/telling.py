"""What a failure in the browser says of itself: where its pages were, what stood on them, and what had gone wrong by then."""

from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, Request, Response, WebError

MOST_TEXT = 4000
FOCUS = "() => document.activeElement?.cloneNode().outerHTML"
# What the browser says by itself of answers and connections that a test breaks on purpose.
EXPECTED = (
    "status of 4",
    "status of 5",
    "net::ERR_",
    "WebSocket connection",
    "Response Status Error Code",
    # what htmx logs of a request that nothing answered, or that was given up
    "htmx:afterRequest",
    "htmx:send",
)
_heard: dict[BrowserContext, list[str]] = {}
"""Of each context that is open, in the order of what happened."""


def listen(context: BrowserContext, wrong: list[str]) -> None:
    """Note what happens on the context's pages; into `wrong` goes what should on none."""
    heard = _heard[context] = []

    def note(text: str) -> None:
        heard.append(text)

    def on_console(said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            note(f"console {said.type}: {said.text}")
        if said.type == "error" and not any(each in said.text for each in EXPECTED):
            wrong.append(said.text)

    def on_error(error: WebError) -> None:
        note(f"script error: {error.error}")
        wrong.append(f"script error: {error.error}")

    def on_response(response: Response) -> None:
        if response.status >= 400:
            note(f"{response.status} {response.request.method} {response.url}")

    def on_failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that was left
            note(f"{request.failure}: {request.method} {request.url}")

    context.on("console", on_console)
    context.on("weberror", on_error)
    context.on("response", on_response)
    context.on("requestfailed", on_failed)
    context.on("close", lambda _: _heard.pop(context, None))


def tell() -> list[str]:
    """One text for each page that is open, and what was heard on all of them."""
    texts = [_tell_page(page) for context in _heard for page in context.pages]
    heard = [line for lines in _heard.values() for line in lines]
    return [*texts, "\n".join(["what went wrong on the way:", *heard[-40:]])] if heard else texts


def _tell_page(page: Page) -> str:
    # inner_text and title would wait for a page that is stuck, so each has its own short time.
    return "\n".join(
        [
            page.url,
            f"focus: {_ask(lambda: page.locator('html').evaluate(FOCUS, timeout=1000))}",
            " | ".join(_ask(lambda: page.locator("body").inner_text(timeout=3000)).split("\n"))[:MOST_TEXT],
        ]
    )


def _ask(question: Any) -> str:
    try:
        return str(question())
    except Error as error:
        return f"(no answer: {error.message.splitlines()[0]})"
