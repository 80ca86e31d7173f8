"""Every page of the console: what all answers have, what works without JavaScript, and what persons' ids look like."""

import json
import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.models.callers import Scope
from tests.console.conftest import FORM, signed_in
from tests.contract.conftest import Tables, make_app
from tests.harness.builders import Caller, create_body, unique

PAGES = ("/console", "/console/", "/console/instances", "/console/search?q=x", "/console/strip")
ROOM = Path(__file__).parents[2] / "app" / "console"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'none'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
)


@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_there_and_nothing_keeps_or_frames_it(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers={"Origin": "http://localhost:5173"})
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"] == CSP
    assert answer.headers.getlist("Cache-Control") == ["no-store"]
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_script_or_style_in_it(client: FlaskClient, path: str) -> None:
    page = client.get(path).text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?! src=)", page)
    assert set(re.findall(r'(?:src|rel="stylesheet" href|rel="icon" href)="([^"?]+)', page)) >= {
        "/console/static/console.js",
        "/console/static/htmx-4.0.1/htmx.min.js",
    }


def test_the_files_are_small_kept_by_browsers_and_have_their_licence(client: FlaskClient) -> None:
    page = client.get("/console").text
    for address in re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page):
        answer = client.get(address, buffered=True)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "max-age=31536000, immutable"), address
    assert sum(sheet.stat().st_size for sheet in (ROOM / "static").rglob("*.css")) <= 12 * 1024
    assert (ROOM / "static" / "console.js").stat().st_size <= 2 * 1024
    assert "Zero-Clause BSD" in (ROOM / "static" / "htmx-4.0.1" / "LICENSE").read_text()


def test_a_refresh_gets_the_live_part_alone_and_304_while_nothing_changes(client: FlaskClient) -> None:
    for path in ("/console/strip", "/console/instances"):
        part = client.get(path, headers={"HX-Request": "true"})
        assert (part.status_code, "<html" in part.text) == (200, False)
        again = client.get(path, headers={"HX-Request": "true", "If-None-Match": part.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


def test_processes_that_go_on_as_before_are_answered_304(client: FlaskClient, tables: Tables) -> None:
    tell = (
        "INSERT INTO instances (name, host, pid, version, commit, roles, parts) VALUES ('a', 'h', 7, '1', 'c', 'all', "
        """'{"consumer": {"ok": true, "seconds_since_beat": 0.2, "restarts": 0, "last_error": null}}')"""
    )
    tables.rows(tell)
    part = client.get("/console/instances", headers={"HX-Request": "true"})
    later = "UPDATE instances SET seen_at = now() - interval '{} s', parts = replace(parts, '{}', '{}')"
    tables.rows(later.format(2, 0.2, 3.1))
    asking = {"HX-Request": "true", "If-None-Match": part.headers["ETag"]}
    assert client.get("/console/instances", headers=asking).status_code == 304
    tables.rows(later.format(2, 3.1, 12.4))
    assert "12 s" in client.get("/console/instances", headers=asking).text
    tables.rows(later.format(4, 12.4, 12.4))
    assert "silent" in client.get("/console/instances", headers=asking).text
    tables.rows("DELETE FROM instances")


def test_a_page_that_is_not_there_and_one_of_a_worker_or_without_a_console_is_a_404(
    client: FlaskClient, url: str
) -> None:
    assert client.get("/console/nothing").status_code == 404
    for settings in ({"CONSOLE": "off"}, {"ROLES": "worker"}, {"APP_ENV": "production"}):
        assert make_app(url, **settings).test_client().get("/console").status_code == 404


def test_the_board_has_every_status_and_the_newest_changes(looking: Flask, client: FlaskClient) -> None:
    order_id = Caller(looking.test_client()).new("ACCEPTED")
    page = client.get("/console").text
    assert all(f">{status}<" in page for status in ("pending", "on the way", "completed", "cancelled"))
    newest = page[page.index("<h2>Newest changes") :]
    assert f'title="{order_id}"' in newest
    assert newest.index("accepted<") < newest.index("pending<")


def test_ids_of_persons_are_masked(looking: Flask, client: FlaskClient) -> None:
    customer = unique("customer")
    Caller(looking.test_client()).create(create_body(customer))
    page = client.get(f"/console/search?q={customer}").text
    assert "<td>cu…</td>" in page
    assert f"<td>{customer}</td>" not in page


def test_persons_in_what_a_check_found_are_masked(client: FlaskClient, tables: Tables) -> None:
    found = [
        {"check": "count", "count": 1, "sentence": "s", "examples": ["customer ann (1, there are 0)"]},
        {"check": "version", "count": 1, "sentence": "s", "examples": ["order-7 (2, history 1)"]},
    ]
    job_id = tables.one(
        "INSERT INTO jobs (kind, state, who, reason, input, deadline_at, ended_at, result) VALUES "
        "('check', 'done', 'bob', 'r', '{}', now(), now(), %s) RETURNING id",
        json.dumps({"ok": False, "findings": found, "notes": []}),
    )
    tables.rows(
        "INSERT INTO job_items (job_id, number, subject, state, done_at) VALUES (%s, 0, 'all', 'done', now())", job_id
    )
    page = client.get(f"/console/jobs/{job_id}").text
    assert "order-7" in page
    assert "ann" not in page


def test_who_asks_to_see_persons_is_in_the_audit_and_sees_them_on_this_page_alone(
    asking: Flask, looking: Flask, tables: Tables
) -> None:
    customer = unique("customer")
    order_id = Caller(looking.test_client()).create(create_body(customer))
    client = signed_in(asking, Scope.OPERATOR)
    page = f"/console/search?q={customer}"
    answer = client.post("/console/unmask", data={"next": page, "reason": "a call by the customer"}, headers=FORM)
    assert (answer.status_code, answer.headers["Location"]) == (303, page)
    assert f"<td>{customer}</td>" in client.get(page).text
    (line,) = tables.rows("SELECT who, subject, detail FROM operator_actions WHERE action = 'show-persons'")
    assert line["who"].startswith("caller-")
    assert (line["subject"], line["detail"]) == ("page /console/search", "a call by the customer")
    client.post("/console/mask", data={"next": page}, headers=FORM)
    assert f"<td>{customer}</td>" not in client.get(page).text
    assert order_id in client.get(page).text


@pytest.mark.parametrize("reason", ["", "ab", "   a   ", "x" * 501])
def test_without_a_reason_nobody_is_shown(asking: Flask, reason: str) -> None:
    client = signed_in(asking, Scope.OPERATOR)
    answer = client.post("/console/unmask", data={"next": "/console", "reason": reason}, headers=FORM)
    assert (answer.status_code, "Give a reason of 3 to 500 characters" in answer.text) == (400, True)


def test_who_may_only_look_does_not_see_persons(asking: Flask) -> None:
    client = signed_in(asking, Scope.READ)
    answer = client.post("/console/unmask", data={"next": "/console", "reason": "curious"}, headers=FORM)
    assert (answer.status_code, "This needs the scope operator" in answer.text) == (403, True)


def test_search_finds_what_was_only_refused(client: FlaskClient, tables: Tables) -> None:
    key = unique("key")
    columns = "path, code, order_id, key, correlation_id, times, created_at"
    values = "'/verifyAndAcceptOrder', 'order_taken', 'order-1', %s, 'c', 3, now()"
    tables.rows(f"INSERT INTO http_refusals ({columns}) VALUES ({values})", key)
    page = client.get(f"/console/search?q={key}").text
    assert "<h2>Refused requests</h2>" in page
    assert '<td>400 order taken</td><td class="n">3</td>' in page
    assert "Nothing has this id" not in page
