"""docs/orders.http, carried out from its beginning to its end as somebody would in an IDE."""

import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from app.models.callers import Scope
from app.operations import keys
from tests.callers.http_file import Answer, Request, Session, parse
from tests.harness.service import CHECKOUT
from tests.harness.stack import Stack

FILE = CHECKOUT / "docs" / "orders.http"
DOCUMENT = json.loads((CHECKOUT / "docs" / "openapi.json").read_text())
REQUESTS, VARIABLES = parse(FILE.read_text())
SCOPES = {"key": {Scope.READ, Scope.WRITE}, "readOnlyKey": {Scope.READ}, "operatorKey": {Scope.OPERATOR}}


@pytest.fixture(scope="module")
def asking(service: Stack) -> Iterator[Session]:
    """A service that asks who calls, and the keys that it knows."""
    made = {name: keys.line(name, scopes) for name, scopes in SCOPES.items()}
    file = service.folder / "keys"
    file.write_text("\n".join(key.line for key in made.values()))
    instance = service.instance(AUTH_MODE="api_key", API_KEYS_FILE=str(file), ROLES="api")
    instance.start()
    yield Session({**VARIABLES, **{name: key.key for name, key in made.items()}, "host": instance.url})
    instance.stop()
    service.instances.remove(instance)


def differences(session: Session, *, asked: bool) -> list[str]:
    """Send everything; return what is not as the file says."""
    session.variables["round"] = uuid4().hex
    return [wrong for request in REQUESTS for wrong in _wrong(session, request, session.send(request), asked=asked)]


def _wrong(session: Session, request: Request, answer: Answer, *, asked: bool) -> Iterator[str]:
    expected = request.expected
    status = expected.status if asked else expected.open_status
    if answer.status != status:
        yield f"{request.name}: {answer.status} and not {status}: {answer.text}"
    elif expected.code and status == expected.status and json.loads(answer.text)["code"] != expected.code:
        yield f"{request.name}: not {expected.code}: {answer.text}"
    for text in expected.texts:
        if session.fill(text) not in answer.text:
            yield f"{request.name}: no {text} in {answer.text}"


def test_each_request_is_answered_as_the_file_says_while_nobody_is_asked(url: str) -> None:
    """[H1] to [H15]"""
    assert differences(Session({**VARIABLES, "host": url}), asked=False) == []


def test_each_request_is_answered_as_the_file_says_where_the_service_asks(asking: Session) -> None:
    """[S1] [S2]"""
    assert differences(asking, asked=True) == []


def test_every_operation_of_the_document_has_a_request_of_its_name_that_succeeds() -> None:
    named = {request.name: request for request in REQUESTS}
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            request = named[operation["operationId"]]
            called = urlsplit(request.url.removeprefix("{{host}}")).path
            assert (request.method, request.expected.status // 100) == (method.upper(), 2)
            assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), called)


def test_no_two_requests_have_one_name() -> None:
    assert len({request.name for request in REQUESTS}) == len(REQUESTS)


@pytest.mark.parametrize("block", ["GET /x", "# @name x\nGET /x", "# @name x\n# expect twice\nGET /x"])
def test_a_request_that_does_not_say_what_it_expects_is_refused(block: str) -> None:
    with pytest.raises(ValueError, match="needs one"):
        parse(f"### a\n{block}\n")
