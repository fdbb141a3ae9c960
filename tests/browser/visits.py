"""A browser profile that records violations of the CSP, errors, dialogs and requests to other hosts."""

import re
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request

WAIT_MILLISECONDS = 60_000
"""How long a test waits for what it expects: the machine may be loaded."""
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`the policy was violated: ${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass  # without slots: Playwright stores its wrappers of the handlers in the instance
class Visit:
    """Pages with common cookies. `problems`: requests to other hosts, violations of the policy, errors and dialogs.

    A test adds the errors that it provokes to `expected`, as patterns.
    """

    context: BrowserContext
    page: Page
    origin: str
    problems: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    @classmethod
    async def begin(cls, browser: Browser, origin: str, **options: Any) -> Self:
        """Opens a profile with one page. Times are shown in UTC, unless `options` name another zone."""
        context = await browser.new_context(base_url=origin, **{"timezone_id": "UTC", "locale": "en-GB", **options})
        context.set_default_timeout(WAIT_MILLISECONDS)
        await context.add_init_script(REPORT_VIOLATIONS)
        visit = cls(context, await context.new_page(), origin)
        context.on("request", visit._note_request)
        context.on("console", visit._note_message)
        context.on("weberror", lambda error: visit._note(str(error.error)))
        context.on("dialog", visit._note_dialog)
        return visit

    async def log_in(self, api_key: str) -> None:
        """Begins a session, as the form of the console does."""
        answer = await self.context.request.post("/login", form={"api_key": api_key}, max_redirects=0)
        assert answer.status == 303, await answer.text()

    async def open(self, path: str) -> Page:
        """Opens a path of the console. Streams of events never end, so it waits for the document only."""
        await self.page.goto(path, wait_until="domcontentloaded")
        return self.page

    def _note(self, problem: str) -> None:
        if not any(re.search(pattern, problem) for pattern in self.expected):
            self.problems.append(problem)

    def _note_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme != "data" and f"{url.scheme}://{url.netloc}" != self.origin:
            self._note(f"a request to {request.url}")

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(message.text)

    async def _note_dialog(self, dialog: Dialog) -> None:
        self._note(f"a dialog: {dialog.message}")
        await dialog.dismiss()
