"""Who is admitted: by credential and scope, with one sentence for everybody else."""

import json

import pytest

from app.api.errors import FailureResponses
from app.api.guard import MAX_CREDENTIAL, Guard
from app.api.requests import Request, begin
from app.models.callers import Caller, Scope
from app.models.errors import DatabaseAway, Forbidden, ServiceError, Unauthenticated
from app.services.access import Access
from app.utils.alarms import Alarms

READER = Caller("reader", frozenset({Scope.READ}))
OPERATOR = Caller("operator", frozenset({Scope.OPERATOR}))


class Known:
    """A verifier that knows some credentials by heart."""

    def __init__(self, **callers: Caller) -> None:
        self._callers = callers

    def verify(self, credential: str) -> Caller:
        if credential == "ok_later":
            raise DatabaseAway("The keys are not known yet")
        if credential not in self._callers:
            raise Unauthenticated("The credential is not known")
        return self._callers[credential]


GUARD = Guard(Access(api_keys=Known(ok_reader=READER, ok_operator=OPERATOR), tokens=Known(token=READER)))


def request(*credentials: str, path: str = "/orders") -> Request:
    return begin("GET", path, "", lambda name: credentials if name == "authorization" else (), bytes)


def refusal(*credentials: str, scope: Scope = Scope.READ) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        GUARD.admit(request(*credentials), scope)
    assert type(GUARD.refusal(request(*credentials).header, scope)) is type(refused.value)
    return refused.value


@pytest.mark.parametrize("credential", ["Bearer ok_reader", "bearer  ok_reader ", "BEARER token"])
def test_a_caller_with_the_scope_is_admitted_and_named(credential: str) -> None:
    asked = request(credential)
    GUARD.admit(asked, Scope.READ)
    assert asked.caller == "reader"
    assert GUARD.refusal(asked.header, Scope.READ) is None


@pytest.mark.parametrize("scope", list(Scope))
def test_an_operator_may_do_everything(scope: Scope) -> None:
    GUARD.admit(request("Bearer ok_operator"), scope)


def test_a_caller_without_the_scope_is_told_which_one_is_missing() -> None:
    error = refusal("Bearer ok_reader", scope=Scope.WRITE)
    assert isinstance(error, Forbidden)
    assert str(error) == "This call needs the scope orders:write"


@pytest.mark.parametrize(
    "credentials",
    [
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("ok_reader",),
        ("Basic b2s6b2s=",),
        ("Bearer ok_reader ok_reader",),
        ("Bearer ok_reader", "Bearer ok_reader"),
        ("Bearer ok_re\xe4der",),
        ("Bearer " + "x" * (MAX_CREDENTIAL + 1),),
        ("Bearer ok_unknown",),
        ("Bearer unknown",),
        ("Bearer\tok_reader",),
    ],
)
def test_anything_else_is_no_credential(credentials: tuple[str, ...]) -> None:
    error = refusal(*credentials)
    assert isinstance(error, Unauthenticated)
    assert error.came
    assert not any(text in str(error) for text in ("ok_", "b2s6b2s=", "\xe4"))


def test_without_any_credential_the_challenge_names_no_error() -> None:
    response = FailureResponses(Alarms()).of_exception(refusal(), "GET", "/orders")
    assert (response.status, dict(response.headers)) == (401, {"WWW-Authenticate": 'Bearer realm="orders"'})


@pytest.mark.parametrize(
    ("error", "status", "challenge"),
    [
        (Unauthenticated("No"), 401, 'Bearer realm="orders", error="invalid_token"'),
        (Forbidden(Scope.WRITE), 403, 'Bearer realm="orders", error="insufficient_scope", scope="orders:write"'),
    ],
)
def test_a_refusal_is_a_failure_with_a_challenge(error: ServiceError, status: int, challenge: str) -> None:
    response = FailureResponses(Alarms()).of_exception(error, "POST", "/createOrder")
    assert (response.status, dict(response.headers)) == (status, {"WWW-Authenticate": challenge})
    assert json.loads(response.body) == {"error": str(error), "code": error.code, "success": False}


def test_what_cannot_be_told_now_is_no_refusal_of_the_caller() -> None:
    assert isinstance(refusal("Bearer ok_later"), DatabaseAway)


def test_a_kind_of_credential_that_is_not_in_use_is_refused() -> None:
    with pytest.raises(Unauthenticated, match="Send an API key"):
        Access(api_keys=Known()).verify("token")
    with pytest.raises(Unauthenticated, match="Send a token"):
        Access(tokens=Known()).verify("ok_key")


def test_where_nobody_is_asked_credentials_are_ignored() -> None:
    asked = request("Basic nonsense")
    Guard(None).admit(asked, Scope.OPERATOR)
    assert asked.caller is None
    assert Guard(None).knows(asked, Scope.OPERATOR)


def test_details_are_for_those_with_the_scope() -> None:
    assert GUARD.knows(request("Bearer ok_reader"))
    assert not GUARD.knows(request("Bearer ok_reader"), Scope.OPERATOR)
    assert GUARD.knows(request("Bearer ok_operator"), Scope.OPERATOR)
    assert not GUARD.knows(request("Bearer ok_unknown"))
    assert not GUARD.knows(request())


def test_refusals_of_one_kind_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard(Access(api_keys=Known(ok_reader=READER)))
    with caplog.at_level("INFO", logger="app.api.guard"):
        for _ in range(100):
            with pytest.raises(Forbidden):
                guard.admit(request("Bearer ok_reader"), Scope.WRITE)
    assert caplog.messages == ["reader, from nobody knows where was refused: This call needs the scope orders:write"]
