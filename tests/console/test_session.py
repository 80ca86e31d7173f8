"""Who may look at the console and act there: sign-in, its cookie, its end, and forms of other sites."""

import re
import time
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.database.database import Database
from app.database.pool import Pool
from app.models.api_keys import id_in
from app.models.callers import Scope
from app.operations import keys
from app.operations.audit import Operator
from app.services.console_secrets import ConsoleSecrets
from tests.console.conftest import FORM, new_key, signed_in
from tests.contract.conftest import make_app


def enter(client: FlaskClient, credential: str, base_url: str = "http://localhost", **form: str) -> TestResponse:
    headers = FORM | {"Origin": base_url}
    return client.post("/console/sign-in", data={"credential": credential, **form}, headers=headers, base_url=base_url)


def cookie(answer: TestResponse) -> tuple[str, str]:
    """The name and the value of the session's cookie, and that it has all that guards it."""
    (line,) = answer.headers.getlist("Set-Cookie")
    ((name, morsel),) = SimpleCookie(line).items()
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Strict", "/")
    assert (morsel["domain"], morsel["max-age"]) == ("", str(8 * 3600))
    assert bool(morsel["secure"]) is name.startswith("__Host-")
    return name, morsel.value


def test_without_a_session_every_page_leads_to_the_sign_in_and_back(asking: Flask) -> None:
    client = asking.test_client()
    answer = client.get("/console/search?q=a%26b")
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        "/console/sign-in?next=/console/search?q%3Da%2526b",
    )
    page = client.get(answer.headers["Location"]).text
    (after,) = re.findall(r'name="next" value="([^"]*)"', page)
    assert enter(client, new_key(asking, Scope.READ), next=after).headers["Location"] == "/console/search?q=a%26b"
    assert client.get("/console").status_code == 200


def test_a_refresh_without_a_session_sends_the_whole_page_to_the_sign_in(asking: Flask) -> None:
    answer = asking.test_client().get("/console/strip", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"][:16]) == (401, "/console/sign-in")


@pytest.mark.parametrize("after", ["https://evil.example", "//evil.example", "/orders", "/console\\x", "/consoles", ""])
def test_a_sign_in_leads_to_the_console_alone(asking: Flask, after: str) -> None:
    answer = enter(asking.test_client(), new_key(asking, Scope.READ), next=after)
    assert answer.headers["Location"] == "/console"


def test_the_cookie_over_https_is_bound_to_the_host_and_holds_no_key(asking: Flask) -> None:
    key = new_key(asking, Scope.READ)
    name, value = cookie(enter(asking.test_client(), key, "https://orders.example"))
    assert name == "__Host-console-session"
    assert key[16:] not in value


def test_on_the_machine_itself_plain_http_will_do(asking: Flask) -> None:
    for host in ("http://localhost:3000", "http://127.0.0.1", "http://[::1]:3000"):
        assert cookie(enter(asking.test_client(), new_key(asking, Scope.READ), host))[0] == "console-session"


def test_over_plain_http_from_elsewhere_no_key_is_taken(asking: Flask) -> None:
    client, base_url = asking.test_client(), "http://orders.example"
    page = client.get("/console/sign-in", base_url=base_url).text
    assert "use https" in page
    assert '<input name="credential"' not in page
    answer = enter(client, new_key(asking, Scope.READ), base_url)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (400, False)


@pytest.mark.parametrize("credential", ["", "x", "ok_" + "0" * 63, "a.b.c", "é" * 20, "x" * 9000])
def test_what_is_no_key_begins_no_session(asking: Flask, credential: str) -> None:
    answer = enter(asking.test_client(), credential)
    assert answer.status_code in (400, 401)
    assert "Set-Cookie" not in answer.headers


def test_a_revoked_key_ends_its_sessions(asking: Flask) -> None:
    client, key = asking.test_client(), new_key(asking, Scope.READ)
    assert enter(client, key).status_code == 303
    keys.revoke(Operator(asking.extensions["settings"], "test"), id_in(key))
    asking.extensions["api_keys"].refresh()
    answer = client.get("/console")
    assert (answer.status_code, "was+revoked" in answer.headers["Location"]) == (303, True)
    assert "Max-Age=0" in answer.headers["Set-Cookie"]


def test_a_session_is_over_after_eight_hours(asking: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(asking, Scope.READ)
    later = time.time() + 8 * 3600 + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert client.get("/console").status_code == 303


def test_every_instance_knows_the_session_and_a_changed_cookie_nobody(asking: Flask, url: str) -> None:
    key = new_key(asking, Scope.READ)
    name, value = cookie(enter(asking.test_client(), key))
    other = make_app(url, AUTH_MODE="api_key")
    other.extensions["api_keys"].refresh()
    visitor = other.test_client()
    visitor.set_cookie(name, value)
    assert visitor.get("/console").status_code == 200
    visitor.set_cookie(name, value[:-3] + "aaa")
    assert visitor.get("/console").status_code == 303
    visitor.set_cookie(name.replace("session", "unmask"), value)
    assert visitor.get("/console").status_code == 303


def test_signing_out_drops_the_cookie(asking: Flask) -> None:
    client = signed_in(asking, Scope.READ)
    answer = client.post("/console/sign-out", headers=FORM)
    assert (answer.status_code, "Max-Age=0" in answer.headers["Set-Cookie"]) == (303, True)
    assert client.get("/console").status_code == 303


def test_looking_needs_the_scope_to_read(asking: Flask) -> None:
    answer = signed_in(asking, Scope.WRITE).get("/console")
    assert (answer.status_code, "This needs the scope orders:read" in answer.text) == (403, True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        FORM | {"Origin": "http://evil.example"},
        FORM | {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_does_nothing(asking: Flask, headers: dict[str, str]) -> None:
    client = signed_in(asking, Scope.OPERATOR)
    form = {"next": "/console", "reason": "a good reason"}
    for path in ("/console/unmask", "/console/sign-out", "/console/sign-in"):
        answer = client.post(path, data=form, headers=headers)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False), path


@pytest.mark.parametrize("address", ["http://evil.example:3000", "http://localhost.evil.example", "http://192.168.1.2"])
@pytest.mark.parametrize("path", ["/console", "/console/strip", "/console/unmask"])
def test_where_anybody_may_act_a_name_that_somebody_else_made_lead_here_gets_nothing(
    acting: Flask, looking: Flask, address: str, path: str
) -> None:
    """A page of another site can have its own name lead to this machine (DNS rebinding): then it is of one origin."""
    method = "POST" if path.endswith("unmask") else "GET"
    answer = acting.test_client().open(path, method=method, base_url=address, headers=FORM | {"Origin": address})
    assert (answer.status_code, "use one of them, or ask callers who they are" in answer.text) == (421, True)
    assert looking.test_client().get("/console", base_url=address).status_code == 200


@pytest.mark.parametrize(
    "address", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:80", "https://a.example"]
)
def test_where_anybody_may_act_the_machine_itself_and_what_has_a_certificate_are_answered(
    acting: Flask, address: str
) -> None:
    assert acting.test_client().get("/console", base_url=address).status_code == 200


def test_a_preflight_is_refused_and_nothing_else_than_get_and_post_is_taken(client: FlaskClient) -> None:
    headers = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "POST"}
    answer = client.options("/console/unmask", headers=headers)
    assert answer.status_code == 405
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]


def test_the_foot_says_whether_acts_are_possible(looking: Flask, acting: Flask) -> None:
    for app, words in ((looking, "To look at only"), (acting, "Acts are possible")):
        assert words in app.test_client().get("/console").text


def test_before_the_secret_was_read_once_the_console_says_so() -> None:
    away = make_app("postgresql://postgres@127.0.0.1:1/nothing", AUTH_MODE="api_key")
    client = away.test_client()
    client.set_cookie("console-session", "x.y")
    answer = client.get("/console")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_another_secret_in_the_file_signs_at_once_and_ends_what_the_old_one_signed(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a" * 32)
    secrets = ConsoleSecrets(Pool(Database("postgresql+psycopg2://127.0.0.1:1/nowhere"), 1), str(file))
    assert secrets.valid() == [b"a" * 32]
    file.write_text("b" * 32)
    assert secrets.valid() == [b"b" * 32]
