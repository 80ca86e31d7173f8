"""A browser, Debian's chromium, before one running service with its orders; both end with the tests of this folder.

While the browser runs, playwright has an event loop in this thread: so it lives for this folder, not for the session.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser

from app.models.callers import Scope
from app.operations import keys
from tests.browser.desk import Desk, sign_in
from tests.browser.looks import chromium
from tests.browser.scene import Scene
from tests.harness.stack import FaultBroker, Stack
from tools.stack.postgres import Postgres


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The browser, without a window."""
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="package")
def scene(postgres: Postgres, broker: FaultBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One instance that no test stops, with a console that may write, and what happened to some orders."""
    name = f"console_{uuid4().hex}"
    stack = Stack(tmp_path_factory.mktemp("console"), postgres, broker, postgres.create_database(name))
    alice = keys.line("alice", {Scope.OPERATOR})
    file = stack.folder / "keys"
    file.write_text(alice.line)
    stack.added = {"CONSOLE": "rw", "DRILLS": "1", "AUTH_MODE": "api_key", "API_KEYS_FILE": str(file)}
    stack.create_topics()
    with ExitStack() as ending:
        ending.callback(postgres.drop_database, name)
        ending.callback(stack.kill_instances)
        stack.start(1)
        made = ending.enter_context(closing(Scene(stack, alice.key)))
        made.play()
        yield made


@pytest.fixture(scope="package")
def signed_in(browser: Browser, scene: Scene) -> Any:
    """What a browser keeps of a sign-in: cookies."""
    return sign_in(browser, scene)


@pytest.fixture
def open_desk(browser: Browser, scene: Scene, signed_in: Any) -> Iterator[Callable[..., Desk]]:
    """Opens windows of an operator. At the end of the test none may have complained."""
    with ExitStack() as windows:
        opened: list[Desk] = []

        def open_one(*, javascript: bool = True, anonymous: bool = False) -> Desk:
            kept = None if anonymous else signed_in
            context = browser.new_context(
                base_url=scene.url,
                java_script_enabled=javascript,
                storage_state=kept,
                viewport={"width": 1280, "height": 800},
            )
            windows.enter_context(closing(context))
            opened.append(Desk(context.new_page()))
            return opened[-1]

        yield open_one
        assert [line for desk in opened for line in desk.complaints] == []


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    """A window with JavaScript."""
    return open_desk()


@pytest.fixture(params=[True, False], ids=["javascript", "plain"])
def either_desk(open_desk: Callable[..., Desk], request: pytest.FixtureRequest) -> Desk:
    """A window with JavaScript, and one without: every act must come to its end in both."""
    return open_desk(javascript=request.param)
