"""A real browser: Debian's chromium, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.api_fixtures import api, store, store_and_api, template_database

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["api", "store", "store_and_api", "template_database"]


# Module scope at most: playwright leaves an event loop running, in which asyncio.run fails for other tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium here; install it with: sudo apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright; run: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, api: str) -> Iterator[Page]:
    """A page that fails its test when it logs an error or sends a request to another server than the API."""
    context = browser.new_context(base_url=api, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(90_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(api) else errors.append(request.url))
    yield page
    context.close()
    assert errors == []
