"""Every page of the console: it complains of nothing, anybody can read it, on a phone too."""

import re
from collections.abc import Callable

import pytest

from app import create_app
from app.config.config import Settings
from tests.browser.desk import Desk
from tests.browser.looks import grave_findings, shot, too_wide
from tests.browser.scene import Scene

PAGES: dict[str, Callable[[Scene], str]] = {
    "board": lambda _: "/console",
    "instances": lambda _: "/console/instances",
    "waits": lambda _: "/console/waits",
    "database": lambda _: "/console/database",
    "flow": lambda _: "/console/flow",
    "outbox": lambda _: "/console/outbox",
    "readers": lambda _: "/console/outbox/readers",
    "event_out": lambda scene: f"/console/outbox/events/{scene.taken_out}",
    "offered_letters": lambda scene: f"/console/outbox/letters?ids={scene.letter}",
    "search": lambda scene: f"/console/search?q={scene.saga}",
    "order": lambda scene: f"/console/orders/{scene.told}?log=1",
    "why": lambda scene: f"/console/why/{scene.told}",
    "simulate": lambda scene: f"/console/simulate/{scene.told}?move=completeOrder",
    "commands": lambda _: "/console/commands",
    "letters": lambda scene: f"/console/letters/{scene.group()}?judge=1",
    "letter": lambda scene: f"/console/letter/{scene.letter}",
    "given_up_command": lambda scene: f"/console/commands/given-up/{scene.given_up}",
    "acts": lambda _: "/console/acts",
    "job": lambda scene: f"/console/jobs/{scene.job}",
}
"""By the name of its view."""
NO_PAGES = {"static", "strip", "board_too", "sign_in"}
"""Views that have no page of their own, and the one that is looked at by itself."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_by_anybody_anywhere(name: str, desk: Desk, scene: Scene) -> None:
    page = desk.go(PAGES[name](scene))
    assert page.title().endswith("Orders")
    page.locator("main h1").wait_for()
    assert grave_findings(page) == []
    assert too_wide(page) == []
    shot(page, name)


def test_no_page_is_left_out() -> None:
    app = create_app(Settings.load({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "CONSOLE": "ro"}))
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("console.")]
    views = {rule.endpoint.removeprefix("console.") for rule in rules if "GET" in (rule.methods or ())}
    assert views - NO_PAGES == PAGES.keys()


def test_the_sign_in_can_be_read_by_anybody_anywhere(open_desk: Callable[..., Desk]) -> None:
    page = open_desk(anonymous=True).go("/console/acts")
    page.get_by_label("Paste").wait_for()
    assert grave_findings(page) == []
    assert too_wide(page) == []
    shot(page, "sign_in")


def test_a_page_that_is_not_there_says_so_and_can_be_read(desk: Desk) -> None:
    desk.expect(404)
    page = desk.go("/console/orders/no-such-order")
    assert "There is no order 'no-such-order'" in desk.text()
    assert grave_findings(page) == []


def test_the_keys_search_and_refresh(desk: Desk, scene: Scene) -> None:
    page = desk.go("/console")
    page.keyboard.press("/")
    page.keyboard.type(scene.told)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/console/orders/{scene.told}"))
    page.evaluate("document.body.dataset.old = 'yes'")
    page.keyboard.press("r")
    page.wait_for_function("!document.body.dataset.old")


def test_the_readers_of_the_events_come_by_themselves_below_the_outbox(desk: Desk, scene: Scene) -> None:
    page = desk.go(PAGES["outbox"](scene))
    page.locator("#readers").get_by_text(re.compile("Which groups read|As Kafka tells it now")).first.wait_for()
