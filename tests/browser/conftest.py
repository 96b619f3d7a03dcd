"""The application on a real port and a real Chromium before it.

A missing browser skips these tests, unless `PIXREF_TEST_REQUIRE_ALL=1`, which makes it a failure.
"""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Error, Page, sync_playwright
from werkzeug.serving import make_server

from bench.chromium import ARGUMENTS, find_chromium
from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import create_token

TIMEOUT_MS = 15_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        message = "no Chromium: install the package chromium"
        if os.environ.get("PIXREF_TEST_REQUIRE_ALL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield running
        running.close()


@dataclass
class Site:
    """The running application and the tokens of its roles."""

    address: str
    tokens: dict[Role, str]


@pytest.fixture
def site(app: Flask, sessions: Sessions) -> Iterator[Site]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    tokens = {role: create_token(sessions, name=f"a {role}", role=role) for role in Role}
    yield Site(f"http://127.0.0.1:{server.server_port}", tokens)
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Complaints:
    """What a page must never do: write errors to the console (broken policy included), throw, or open a dialog."""

    found: list[str] = field(default_factory=list)
    # The ends of addresses from which an error is what the test wants.
    expected: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)
        page.on("dialog", self._on_dialog)
        # To the console goes what a policy forbade where somebody looks; to the page, all of it.
        page.add_init_script(
            "addEventListener('securitypolicyviolation', each => console.error(`policy: ${each.violatedDirective} ${each.blockedURI}`))"
        )

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.found.append(f"console: {message.text} {message.location.get('url', '')}".strip())

    def _on_error(self, error: Error) -> None:
        self.found.append(f"exception: {error}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.found.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Collects complaints of every page that `open_page` opened; one that is left at the end fails the test."""
    collected = Complaints()
    yield collected
    assert [each for each in collected.found if not each.endswith(tuple(collected.expected))] == []


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, site: Site, complaints: Complaints) -> Iterator[OpenPage]:
    """Opens a page in a browser profile of its own, signed in by the link unless `role` is None."""
    contexts: list[BrowserContext] = []

    def open_one(role: Role | None = Role.EDITOR, **options: object) -> Page:
        context = browser.new_context(base_url=site.address, **options)  # type: ignore[arg-type]
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        complaints.watch(page)
        if role is not None:
            page.goto(f"/sign-in?token={site.tokens[role]}")
        return page

    yield open_one
    for context in contexts:
        context.close()
