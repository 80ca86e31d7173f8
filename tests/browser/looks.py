"""The browser, and what a page looks like in it: axe-core's findings, its width on a phone, pictures to look at."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

SHOTS = "CONSOLE_SHOTS"
"""The variable with the folder that takes the pictures. Without it none is taken."""

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
_PROGRAM = "chromium"
_GRAVE = ("serious", "critical")
_axe = Axe()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Debian's chromium, without a window."""
    program = shutil.which(_PROGRAM)
    assert program, f"no {_PROGRAM}: this needs Debian's package of that name, which .ci/run installs"
    with sync_playwright() as playwright:
        options: dict[str, Any] = {"executable_path": program, "chromium_sandbox": os.geteuid() != 0}
        with closing(playwright.chromium.launch(args=["--disable-dev-shm-usage"], **options)) as launched:
            yield launched


def grave_findings(page: Page) -> list[str]:
    """Return what axe-core finds serious or critical on the page, in light and in dark: a line each."""
    page.emulate_media(color_scheme="light")
    found = _findings(page, {})
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {line}" for line in _findings(page, {"runOnly": ["color-contrast"]})]
    page.emulate_media(color_scheme="light")
    return found


def _findings(page: Page, options: Mapping[str, Any]) -> list[str]:
    violations = _axe.run(page, options=dict(options)).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:160]}"
        for violation in violations
        if violation["impact"] in _GRAVE
        for node in violation["nodes"]
    ]


def too_wide(page: Page) -> list[str]:
    """Return the elements that make the page wider than the screen of a phone: there a reader would have to scroll."""
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    found: list[str] = page.evaluate(
        """() => {
            const room = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= room) return [];
            return [...document.querySelectorAll('body *')]
                .filter(one => one.getBoundingClientRect().right > room + 1)
                .map(one => one.outerHTML.slice(0, 120));
        }"""
    )
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    return found


def shot(page: Page, name: str) -> None:
    """Take three pictures of the page, if a folder for them is named: light, dark, and on a phone."""
    folder = os.environ.get(SHOTS)
    if not folder:
        return
    for look in ("light", "dark"):
        page.emulate_media(color_scheme=look)
        page.screenshot(path=Path(folder, f"{name}-{look}.png"), full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.screenshot(path=Path(folder, f"{name}-phone.png"), full_page=True)
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
