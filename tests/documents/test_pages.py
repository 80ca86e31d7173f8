"""The pages show the documents, load nothing from elsewhere, and the committed files are up to date."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.api import documents
from app.api.documents import DOCS, STATIC
from app.config.config import Settings
from app.wire.command_types import COMMAND_TYPES
from app.wire.decoder import decode
from app.wire.encoder import encode
from tools.documents import asyncapi, openapi
from tools.documents.__main__ import texts

HTML, JSON = "text/html; charset=utf-8", "application/json"
PAGES = {"/apidocs/": HTML, "/asyncapi": HTML, "/openapi.json": JSON, "/asyncapi.json": JSON}
BUNDLE = "/apidocs/swagger-ui-5.35.0/swagger-ui-bundle.js"


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """No database and no broker: the documents need neither."""
    return create_app(Settings.load({})).test_client()


def get(client: FlaskClient, path: str, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(path, headers=named, buffered=True)


@pytest.mark.parametrize("path", texts(), ids=lambda path: path.name)
def test_the_committed_file_is_the_one_that_is_made(path: Path) -> None:
    assert path.read_text() == texts()[path], "run `make documents`"


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
def test_the_committed_document_is_served_with_all_its_digits(client: FlaskClient, name: str) -> None:
    assert get(client, f"/{name}").data == encode(decode((DOCS / name).read_bytes()))


@pytest.fixture
def nothing_remembered() -> Iterator[None]:
    """Documents are read from their files as if the process had just begun, and again in the tests after this one."""
    documents._openapi.cache_clear()
    yield
    documents._openapi.cache_clear()


@pytest.mark.usefixtures("nothing_remembered")
def test_a_document_that_is_not_there_is_a_500_and_a_line_until_it_is_there(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(documents, "DOCS", tmp_path)
    answer = get(client, "/openapi.json")
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert str(tmp_path / "openapi.json") in caplog.text
    assert get(client, "/apidocs/").status_code == 200
    (tmp_path / "openapi.json").write_text("{}")
    assert get(client, "/openapi.json").data == b"{}"


@pytest.mark.parametrize("path", PAGES)
def test_each_page_has_its_type_and_is_asked_for_anew_only_when_it_changed(client: FlaskClient, path: str) -> None:
    page = get(client, path)
    assert (page.status_code, page.content_type) == (200, PAGES[path])
    assert page.headers["Cache-Control"] == "no-cache"
    again = get(client, path, If_None_Match=page.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", [*PAGES, BUNDLE])
def test_a_page_may_load_from_its_own_origin_only(client: FlaskClient, path: str) -> None:
    policy = get(client, path).headers["Content-Security-Policy"]
    directives = dict(directive.split(" ", 1) for directive in policy.split("; "))
    assert directives.pop("img-src") == "'self' data:"  # the arrows in Swagger UI's style sheet
    assert set(directives.values()) <= {"'self'", "'none'"}
    assert directives["default-src"] == "'none'"


@pytest.mark.parametrize("path", ["/apidocs/", "/asyncapi"])
def test_all_that_a_page_loads_is_there(client: FlaskClient, path: str) -> None:
    page = get(client, path).text
    loaded = re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="([^"]+)"', page)
    assert loaded
    assert "style=" not in page
    base = path[: path.rindex("/") + 1]
    for name in loaded:
        assert "//" not in name
        assert get(client, base + name).status_code == 200


def test_the_page_at_the_root_leads_everywhere_and_is_for_browsers_only(client: FlaskClient) -> None:
    page = get(client, "/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (page.status_code, page.content_type) == (200, HTML)
    links = re.findall(r'<(?:a|link) [^>]*href="([^"]+)"', page.text)
    assert {"apidocs/", "asyncapi", "openapi.json", "asyncapi.json", "readyz", "livez", "health", "metrics"} <= {*links}
    paths = {rule.rule for rule in client.application.url_map.iter_rules()}
    assert all(f"/{link}" in paths or get(client, f"/{link}").status_code == 200 for link in links)
    for accept in ("*/*", "application/json", ""):
        assert get(client, "/", Accept=accept).get_json()["code"] == "not_found"


def test_a_failure_while_the_page_at_the_root_is_made_is_the_services_own(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[H1] It is made by an error handler, whose failures Flask hands over in a way of its own."""

    def fail(_: str) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(documents, "_file", fail)
    answer = client.get("/", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert answer.json == {"error": "The service made a mistake; it has been logged", "code": "internal_error"}


def test_the_type_around_a_payload_is_one_of_all(client: FlaskClient) -> None:
    page = get(client, "/asyncapi").text
    kinds = COMMAND_TYPES.values()
    replies = [*(kind.success for kind in kinds), *(kind.failure for kind in kinds)]
    assert f"<td>one of {', '.join(f'&#34;{name}&#34;' for name in COMMAND_TYPES)}</td>" in page
    assert f"<td>one of {', '.join(f'&#34;{name}&#34;' for name in replies)}, " in page
    assert "dead_letter" not in page.split("Fields of a reply or event")[1].split("Headers of a reply")[0]


def test_files_of_a_fixed_version_are_kept_by_browsers(client: FlaskClient) -> None:
    bundle = get(client, BUNDLE)
    assert bundle.content_type == "text/javascript; charset=utf-8"
    assert "immutable" in bundle.headers["Cache-Control"]
    assert "max-age=31536000" in bundle.headers["Cache-Control"]


def test_the_licence_is_beside_what_is_taken_from_others() -> None:
    (folder,) = STATIC.glob("swagger-ui-*")
    assert "Apache License" in (folder / "LICENSE").read_text()


def test_the_address_without_a_slash_leads_to_the_page_whatever_host_is_named(client: FlaskClient) -> None:
    """Also under a path prefix of a proxy, which the service need not know."""
    assert get(client, "/apidocs").headers["Location"] == "apidocs/"


@pytest.mark.parametrize("path", ["/apidocs/none.js", "/apidocs/../documents.py", "/apidocs/%2e%2e/documents.py"])
def test_what_is_no_part_of_the_pages_is_a_404_in_json(client: FlaskClient, path: str) -> None:
    """[H1]"""
    answer = get(client, path)
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


def test_the_page_of_the_messages_shows_every_topic_message_and_field(client: FlaskClient) -> None:
    page = get(client, "/asyncapi").text
    document = asyncapi.document()
    shown = [channel["address"] for channel in document["channels"].values()]
    shown += [name for name in document["components"]["messages"] if name != "dead_letter"]
    shown += ["payload.order_details.foodItems[].price", "payload.saga_id", "original_offset", "event_id"]
    for name in shown:
        assert f"<code>{name}</code>" in page


def test_the_documents_link_to_each_other(client: FlaskClient) -> None:
    assert "/asyncapi" in openapi.document()["info"]["description"]
    assert 'href="apidocs/"' in get(client, "/asyncapi").text


def test_a_worker_serves_no_documents() -> None:
    client = create_app(Settings.load({"ROLES": "worker"})).test_client()
    assert {get(client, path).status_code for path in PAGES} == {404}
