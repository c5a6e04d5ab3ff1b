"""The page in a real browser: opened, watched, asked what it holds.

Owns the browser and what is recorded of a page (errors, addresses it asked for). Playwright drives the Chromium that is
installed; none is fetched.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

TOKEN = "open-sesame"
"""What the server of these tests asks for."""

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# A microphone that beeps, and no question whether it may be used; root has no sandbox.
OPTIONS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@contextmanager
def open_browser() -> Iterator[Any]:
    """A headless Chromium; where there is none, the test that asks for it is skipped."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser among {', '.join(NAMES)}: install one (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


class Page:
    """One page; `view` is Playwright's."""

    def __init__(self, browser: Any, port: int, **context: Any) -> None:
        """Open it.

        Args:
            context: Playwright's options, such as viewport and color_scheme.
        """
        self.origin = f"http://127.0.0.1:{port}"
        self.context = browser.new_context(**context)
        self.view = self.context.new_page()
        self.view.set_default_timeout(60_000)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.view.on("pageerror", lambda error: self.errors.append(str(error)))
        self.view.on("request", lambda request: self.asked.append(request.url))
        self.view.goto(self.origin)

    def ready(self) -> Page:
        """Give the token where it is asked for, and wait until a text may be spoken."""
        self.until("!document.getElementById('token-row').hidden || !document.getElementById('speak').disabled")
        if self.view.is_visible("#token-row"):
            self.view.fill("#token", TOKEN)
            self.view.keyboard.press("Enter")
        self.view.wait_for_selector("#speak:enabled")
        return self

    def choose(self, model: str) -> Page:
        """Pick the first voice of a model."""
        mine = f"(option) => option.parentNode.label === '{model}'"
        place = self.value(f"[...document.getElementById('voice').options].findIndex({mine})")
        self.view.select_option("#voice", index=place)
        return self

    def value(self, script: str, given: Any = None) -> Any:
        """What an expression of the page's own scripts gives."""
        return self.view.evaluate(script, given)

    def until(self, script: str, seconds: float = 90.0) -> Any:
        """Wait until an expression holds (the page's policy forbids Playwright's own way, which needs eval)."""
        ends = time.monotonic() + seconds
        while not (value := self.view.evaluate(script)):
            assert time.monotonic() < ends, f"not so after {seconds:g} s: {script}; error: {self.error!r}"
            self.view.wait_for_timeout(20)
        return value

    def say(self, text: str) -> None:
        """Type a text and press Speak."""
        self.view.fill("#text", text)
        self.view.click("#speak")

    def spoken(self) -> None:
        """Wait until all of it has arrived."""
        self.until("aoede.stage.take?.ended")

    @property
    def error(self) -> str:
        """The words of the alert; empty where there is none."""
        return self.view.inner_text("#error") if self.view.is_visible("#error") else ""

    def close(self) -> None:
        """Close it; it must have made no mistake and asked nobody but its own server."""
        self.context.close()
        assert not self.errors, self.errors
        strangers = [url for url in self.asked if not url.startswith((self.origin, "blob:", "data:"))]
        assert not strangers, strangers
