"""Who may call: credentials and scopes, the same at both servers, on the app of a service that asks."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.test import Client, TestResponse

from app.models.api_keys import SECRET_BITS, text_of
from app.models.callers import Scope
from app.operations import keys
from app.operations.audit import Operator
from app.operations.timeline import timeline
from tests.contract.conftest import Tables, make_app
from tests.contract.test_http_examples import hold_answer
from tests.contract.test_http_failures import check_failure
from tests.harness.builders import POSTS, Caller, create_body, unique
from tests.harness.door import Client as Wire
from tests.harness.door import open_door, through

ORIGIN = "http://localhost:5173"
GETS = ("/orders", "/orders/customer/c", "/getOrderDetails?orderId=unknown")
CLOSED = ("/metrics",)
DOCUMENTS = ("/openapi.json", "/asyncapi.json", "/asyncapi", "/apidocs", "/apidocs/", "/apidocs/asyncapi.css")
NEEDED = {
    **dict.fromkeys((("GET", path) for path in GETS), Scope.READ),
    **dict.fromkeys((("POST", path) for path in POSTS), Scope.WRITE),
    **dict.fromkeys((("GET", path) for path in CLOSED), Scope.OPERATOR),
}
UNKNOWN = text_of("0" * 12, secrets.randbits(SECRET_BITS))


@pytest.fixture(scope="module")
def asking(url: str) -> Flask:
    return make_app(url, AUTH_MODE="api_key")


@pytest.fixture(scope="module")
def key(asking: Flask) -> dict[Scope, str]:
    """A key for each scope, whose caller has the scope's name."""
    operator = Operator(asking.extensions["settings"], "test")
    made = {scope: keys.create(operator, f"{scope} {unique()}"[:40], {scope}).key for scope in Scope}
    asking.extensions["api_keys"].refresh()
    return made


@pytest.fixture(scope="module")
def asking_port(asking: Flask) -> Iterator[int]:
    with open_door(asking) as port:
        yield port


@pytest.fixture(params=["Flask", "the loop"])
def client(request: pytest.FixtureRequest, asking: Flask, asking_port: int) -> Client:
    return asking.test_client() if request.param == "Flask" else Client(through(asking_port), TestResponse)


def call(client: Client, method: str, path: str, *credentials: str, **headers: str) -> TestResponse:
    """Ask with Authorization headers."""
    sent = [("Authorization", credential) for credential in credentials] + list(headers.items())
    body: dict[str, Any] = {"json": POSTS[path]} if method == "POST" else {}
    return client.open(path, method=method, headers=Headers(sent), buffered=True, **body)


def check_refused(answer: TestResponse, status: int, path: str, challenge: str) -> None:
    check_failure(answer, status, path.partition("?")[0])
    assert answer.json is not None
    assert answer.json["code"] == {401: "unauthorized", 403: "forbidden"}[status]
    assert answer.headers["WWW-Authenticate"] == f'Bearer realm="orders"{challenge}'
    assert answer.headers["X-Correlation-ID"] == "look-1"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(("method", "path"), NEEDED)
def test_a_call_needs_a_credential_with_its_scope(
    client: Client, key: dict[Scope, str], method: str, path: str
) -> None:
    """[S1] [S2] [H1] [H16]"""
    needed = NEEDED[method, path]
    headers = {"Origin": ORIGIN, "X-Correlation-ID": "look-1"}
    check_refused(call(client, method, path, **headers), 401, path, "")
    unknown = call(client, method, path, f"Bearer {UNKNOWN}", **headers)
    check_refused(unknown, 401, path, ', error="invalid_token"')
    for scope in Scope:
        answer = call(client, method, path, f"Bearer {key[scope]}", **headers)
        if scope in (needed, Scope.OPERATOR):
            assert answer.status_code not in (401, 403), answer.text
        else:
            check_refused(answer, 403, path, f', error="insufficient_scope", scope="{needed}"')
            assert answer.json is not None
            assert answer.json["error"] == f"This call needs the scope {needed}"


def test_both_refusals_are_exactly_their_examples(client: Client, key: dict[Scope, str]) -> None:
    """[S2]"""
    hold_answer("unauthorized", call(client, "GET", "/orders"))
    hold_answer("forbidden", call(client, "GET", "/orders", f"Bearer {key[Scope.WRITE]}"))


def test_no_endpoint_is_forgotten(asking: Flask) -> None:
    """[S1]"""
    needed = {(method, path.partition("?")[0].replace("/customer/c", "/customer/")) for method, path in NEEDED}
    assert {(it.method, it.path) for it in asking.extensions["endpoints"] if it.scope is not None} == needed
    assert {it.path for it in asking.extensions["endpoints"] if it.scope is None} == {"/health", "/livez", "/readyz"}


@pytest.mark.parametrize(
    "credentials",
    [
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("Basic dXNlcjpwYXNzd29yZA==",),
        ("Negotiate x",),
        ("Bearer a b",),
        ("Bearer eyJhbGciOiJub25lIn0.e30.",),
        ("Bearer ok_",),
        (f"Bearer {UNKNOWN[:-1]}",),
        ("Bearer \xff\xfe",),
        ("Bearer " + "x" * 8193,),
        ("Bearer ok_a", "Bearer ok_a"),
    ],
)
def test_what_is_no_credential_is_refused_with_one_sentence(client: Client, credentials: tuple[str, ...]) -> None:
    """[S2]"""
    answer = call(client, "POST", "/createOrder", *credentials)
    check_failure(answer, 401, "/createOrder")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="orders", error="invalid_token"'
    assert answer.json is not None
    assert "x" * 20 not in answer.json["error"]


def test_a_refusal_comes_before_everything_else(client: Client, key: dict[Scope, str]) -> None:
    """[S2] No body, no key, no order is looked at."""
    for body, kind in ((b"{", "application/json"), (b"", "text/plain"), (b" " * (128 * 1024 + 1), "application/json")):
        headers = {"Content-Type": kind, "Idempotency-Key": ""}
        answer = client.post("/createOrder", data=body, headers=headers, buffered=True)
        check_failure(answer, 401, "/createOrder")
        headers["Authorization"] = f"Bearer {key[Scope.READ]}"
        check_failure(client.post("/createOrder", data=body, headers=headers, buffered=True), 403, "/createOrder")


def test_an_answer_under_a_key_is_for_those_who_may_write(client: Client, key: dict[Scope, str]) -> None:
    """[S2] [H15]"""
    headers = {"Idempotency-Key": unique(), "Authorization": f"Bearer {key[Scope.WRITE]}"}
    made = client.post("/createOrder", json=create_body(), headers=headers, buffered=True)
    again = client.post("/createOrder", json=create_body(), headers=headers, buffered=True)
    assert (made.status_code, again.json) == (201, made.json)
    headers["Authorization"] = f"Bearer {key[Scope.READ]}"
    check_failure(client.post("/createOrder", json=create_body(), headers=headers, buffered=True), 403, "/createOrder")


@pytest.mark.parametrize("path", [*POSTS, *GETS, *CLOSED, *DOCUMENTS, "/nope"])
def test_a_preflight_needs_no_credential(client: Client, path: str) -> None:
    """[S1] [H1] Browsers send none with it."""
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = client.options(path, headers=asked, buffered=True)
    assert answer.status_code == (404 if path == "/nope" else 200)
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_what_there_is_not_stays_unknown(client: Client) -> None:
    """[H1]"""
    check_failure(client.get("/nope", buffered=True), 404, "/nope")
    check_failure(client.get("/createOrder", buffered=True), 405, "/createOrder")
    assert client.head("/orders", buffered=True).status_code == 401


def test_health_is_open_and_says_nothing_more(client: Client, key: dict[Scope, str]) -> None:
    """[S1] [H2]"""
    for credentials in ((), ("Basic x",), (f"Bearer {UNKNOWN}",)):
        assert call(client, "GET", "/health", *credentials).json == {"status": "healthy"}
        assert call(client, "GET", "/livez", *credentials).json == {"status": "alive"}
        ready = call(client, "GET", "/readyz", *credentials)
        assert (ready.status_code, ready.json) == (503, {"status": "not ready"})  # its threads do not run
    named = call(client, "GET", "/livez", f"Bearer {key[Scope.READ]}").json
    assert named is not None
    assert {"version", "commit"} <= named.keys()
    assert call(client, "GET", "/readyz", f"Bearer {key[Scope.READ]}").json == {"status": "not ready"}
    parts = call(client, "GET", "/readyz", f"Bearer {key[Scope.OPERATOR]}").json
    assert parts is not None
    assert parts["parts"]["keys"] == {"ok": True}


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_are_open_unless_they_are_closed(client: Client, path: str) -> None:
    """[S1]"""
    assert client.get(path, buffered=True).status_code in (200, 308)


def test_each_access_is_a_setting(url: str, key: dict[Scope, str]) -> None:
    """[S1]"""
    app = make_app(url, AUTH_MODE="api_key", METRICS_ACCESS="open", READYZ_ACCESS="open", DOCUMENTS_ACCESS="operator")
    app.extensions["api_keys"].refresh()
    client = app.test_client()
    assert client.get("/metrics").status_code == 200
    ready = client.get("/readyz").json
    assert ready is not None
    assert "parts" in ready
    for path in (*DOCUMENTS, "/"):
        html = {"Accept": "text/html"}
        assert client.get(path, headers=html, buffered=True).status_code == 401
        assert client.options(path, headers=html).status_code == (404 if path == "/" else 200)
        for scope in Scope:
            answer = client.get(path, headers=html | {"Authorization": f"Bearer {key[scope]}"}, buffered=True)
            assert answer.status_code in ((200, 308) if scope is Scope.OPERATOR else (403,))
    check_failure(client.get("/"), 404, "/")


def test_who_made_a_change_is_in_the_history(asking: Flask, key: dict[Scope, str], tables: Tables) -> None:
    """[S3] Also of one that shares a statement, and of one under a key."""
    client = asking.test_client()
    write = {"Authorization": f"Bearer {key[Scope.WRITE]}"}
    operator = {"Authorization": f"Bearer {key[Scope.OPERATOR]}", "Idempotency-Key": unique()}
    made = client.post("/createOrder", json=create_body(), headers=write).json
    assert made is not None
    order_id = made["order_id"]
    for status, headers in (("CREATED", operator), ("PLACED", write)):
        body = {"orderId": order_id, "status": status}
        assert client.post("/updateOrderStatus", json=body, headers=headers).status_code == 200
    names = [line["caller"].split(" ")[0] for line in tables.changes(order_id)]
    assert names == ["orders:write", "operator", "orders:write"]
    lines = timeline(asking.extensions["settings"], order_id, with_log=False).changes
    assert [line.caller for line in lines] == [line["caller"] for line in tables.changes(order_id)]


def test_where_nobody_is_asked_credentials_are_ignored(api: Caller, loop_api: Caller, tables: Tables) -> None:
    """[S1] As the front end of today sends them."""
    for caller in (api, loop_api):
        answer = caller.post("/createOrder", create_body(), Authorization="Bearer anything at all")
        assert answer.status_code == 201
        [line] = tables.changes(answer.json["order_id"])
        assert line["caller"] is None


def test_a_revoked_key_is_refused_and_the_other_of_its_name_is_not(asking: Flask, key: dict[Scope, str]) -> None:
    """[S2] `key`: so the ring is known."""
    operator, client, name = Operator(asking.extensions["settings"], "test"), asking.test_client(), unique()
    first = keys.create(operator, name, {Scope.READ})
    second = keys.rotate(operator, name)
    asking.extensions["api_keys"].refresh()
    for made in (first, second):
        assert client.get("/orders", headers={"Authorization": f"Bearer {made.key}"}).status_code == 200
    keys.revoke(operator, first.id)
    asking.extensions["api_keys"].refresh()
    refused = client.get("/orders", headers={"Authorization": f"Bearer {first.key}"})
    check_failure(refused, 401, "/orders")
    assert client.get("/orders", headers={"Authorization": f"Bearer {second.key}"}).status_code == 200


def test_before_the_keys_are_known_nobody_is_told_that_a_key_is_bad(url: str) -> None:
    """[S2]"""
    client = make_app(url, AUTH_MODE="api_key").test_client()
    answer = client.get("/orders", headers={"Authorization": f"Bearer {UNKNOWN}"})
    check_failure(answer, 503, "/orders")
    assert answer.headers["Retry-After"] == "1"
    check_failure(client.get("/orders"), 401, "/orders")


def test_the_use_of_a_key_is_stored_by_the_hour(asking: Flask, key: dict[Scope, str], tables: Tables) -> None:
    asking.test_client().get("/orders", headers={"Authorization": f"Bearer {key[Scope.READ]}"})
    asking.extensions["api_keys"].note_use()
    used = "SELECT last_used = date_trunc('hour', last_used) AND last_used > now() - interval '1 hour 1 minute' "
    assert tables.one(f"{used} FROM api_keys WHERE id = %s", key[Scope.READ].split("_")[1]) is True


def test_without_a_credential_a_body_is_neither_asked_for_nor_waited_for(asking_port: int) -> None:
    """[S2] The connection ends then, so that what follows is not taken for a request."""
    for framing in (b"Content-Length: 100000", b"Transfer-Encoding: chunked"):
        for expects in (b"Expect: 100-continue\r\n", b""):
            with Wire(asking_port) as wire:
                head = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                wire.socket.sendall(head + expects + framing + b"\r\n\r\n")
                answer = wire.answer()
                assert answer.status == 401
                assert b"Connection: close" in answer.head
                assert wire.rest() == b""


def test_a_body_is_not_waited_for_behind_another_request_either(asking_port: int) -> None:
    """[S2]"""
    with Wire(asking_port) as wire:
        head = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        wire.socket.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + head)
        assert [wire.answer().status for _ in range(2)] == [200, 401]
        assert wire.rest() == b""


def test_a_refused_request_that_came_whole_keeps_its_connection(asking_port: int, key: dict[Scope, str]) -> None:
    """[S2] So does one without a body."""
    write = key[Scope.WRITE].encode()
    with Wire(asking_port) as wire:
        for body in (b"{}", b" " * 10_000):
            head = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            wire.socket.sendall(head + body)
            assert wire.answer().status == 401
        wire.ask("/orders")
        assert wire.answer().status == 401
        head = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "
        wire.socket.sendall(head + write + b"\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert wire.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.socket.sendall(b"{}")
        assert wire.answer().status == 400
