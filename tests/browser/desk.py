"""A window of the console, and what it complains about: errors, refused loads, answers that the test did not expect."""

from contextlib import closing
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Response

from tests.browser.scene import Scene

PATIENCE_MS = 10_000
_FAILED_LOAD = "Failed to load resource"  # the answer's status says it already


class Desk:
    """One page of a browser. `complaints` has a line for each thing that a person at the desk would not want."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._expected: set[int] = set()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("response", self._answered)

    def expect(self, *statuses: int) -> None:
        """Let answers have these statuses, too: a refusal that the test is about."""
        self._expected |= set(statuses)

    def go(self, path: str) -> Page:
        """Open a page of the console and return it."""
        self.page.goto(path)
        return self.page

    def text(self) -> str:
        """Return what the page says."""
        return self.page.locator("main").inner_text()

    def _heard(self, message: ConsoleMessage) -> None:
        # A violation of the content security policy is an error, too.
        if message.type in ("error", "warning") and not message.text.startswith(_FAILED_LOAD):
            self.complaints.append(f"{message.type}: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self._expected:
            self.complaints.append(f"{response.status}: {response.request.method} {response.url}")


def sign_in(browser: Browser, scene: Scene) -> Any:
    """Sign in with the operator's key; return what the browser keeps of it."""
    with closing(browser.new_context(base_url=scene.url)) as context:
        desk = Desk(context.new_page())
        page = desk.go("/console")
        page.get_by_label("Paste").fill(scene.key)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Board").wait_for()
        assert desk.complaints == []
        return context.storage_state()
