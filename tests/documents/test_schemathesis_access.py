"""Schemathesis with AUTH_MODE=api_key: every check again, and that no operation is done without a good credential.

For each operation that succeeds it asks again without the credential and with a made-up one; both must be refused.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import hypothesis
import pytest
from flask import Flask
from schemathesis import Case, Config
from schemathesis.openapi import from_dict

from app import create_app
from app.config.config import Settings
from app.models.callers import Scope
from app.operations import keys
from app.operations.audit import Operator
from tests.documents.test_schemathesis import (
    BOUNDED,
    CONFIG,
    about_an_order_that_exists,
    described,
    not_expected,
    with_a_key_of_its_own,
)
from tests.harness.builders import unique

served: list[Flask] = []
credential: dict[str, str] = {}
refused: Counter[str] = Counter()


def needing_security() -> dict[str, Any]:
    """The document as a service serves it that asks who calls."""
    found: dict[str, Any] = json.loads(json.dumps(described))
    for operations in found["paths"].values():
        for operation in operations.values():
            operation["security"] = [way for way in operation["security"] if way] or [{}]
    return found


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The app, which counts whom it does not know."""

    def begin(status: str, *rest: Any) -> Any:
        refused[environ["PATH_INFO"].partition("/customer/")[0]] += status.startswith("401")
        return start_response(status, *rest)

    return served[-1](environ, begin)


BESIDE = {"phases": {"coverage": {"enabled": False}}}
"""Each single constraint of the document is tried without credentials already (test_schemathesis.py)."""

schema = from_dict(needing_security(), config=Config.from_dict(CONFIG | BESIDE))
schema.app = app


@pytest.fixture(scope="module", autouse=True)
def _serve(documented_app: Flask) -> Iterator[None]:
    """An app on the same database that asks who calls, and a key that may do everything."""
    url = documented_app.extensions["settings"].database_url
    asking = create_app(
        Settings.load({"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "AUTH_MODE": "api_key"})
    )
    made = keys.create(Operator(asking.extensions["settings"], "test"), unique(), {Scope.READ, Scope.WRITE})
    asking.extensions["api_keys"].refresh()
    credential["Authorization"] = f"Bearer {made.key}"
    served.append(asking)
    yield
    served.clear()


@schema.parametrize()
@hypothesis.settings(BOUNDED, max_examples=10)
def test_every_answer_is_as_documented_and_nobody_unknown_is_served(case: Case[Any]) -> None:
    """[H1] [S1]"""
    caller = served[-1].test_client()
    caller.environ_base["HTTP_AUTHORIZATION"] = credential["Authorization"]
    with_a_key_of_its_own(case)
    about_an_order_that_exists(case, caller)
    response = case.call(headers=dict(credential))
    known = response.request.headers.get("Authorization") == credential["Authorization"]  # some cases leave it out
    assert known == (response.status_code != 401)
    case.validate_response(response, headers=dict(credential), excluded_checks=not_expected(case, response))


def test_each_operation_was_asked_for_without_a_credential_too() -> None:
    """[S1] After the tests above: it is known that the check was made."""
    secured = {path for path, found in needing_security()["paths"].items() if [{}] not in _security(found)}
    assert {path.partition("/customer/")[0] for path in secured} == {path for path, count in refused.items() if count}


def _security(operations: dict[str, Any]) -> list[Any]:
    return [operation["security"] for operation in operations.values()]
