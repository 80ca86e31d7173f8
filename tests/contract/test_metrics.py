"""What `/metrics` counts of a caller's requests, in series whose number is bounded."""

import re

import pytest
from flask import Flask

from app.services.counted import ORDERS
from tests.contract.conftest import make_app
from tests.harness.builders import Caller, create_body, unique


def figures(api: Caller) -> dict[str, float]:
    """By series."""
    lines = api.get("/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def requests(route: str, method: str, status: int) -> str:
    return f'order_http_requests_total{{method="{method}",route="{route}",status="{status}"}}'


@pytest.mark.parametrize(
    ("method", "path", "counted"),
    [
        ("GET", "/orders", ("/orders", "GET", 200)),
        ("GET", "/orders/customer/nobody", ("/orders/customer/{id}", "GET", 200)),
        ("POST", "/createOrder", ("/createOrder", "POST", 400)),
        ("GET", "/apidocs/none.js", ("/apidocs/{name}", "GET", 404)),
        ("GET", "/no/such/path", ("unknown", "GET", 404)),
        ("DELETE", "/orders", ("unknown", "DELETE", 405)),
        ("BREW", "/orders", ("unknown", "other", 405)),
    ],
)
def test_a_request_is_counted_by_the_template_of_its_path(
    app: Flask, api: Caller, method: str, path: str, counted: tuple[str, str, int]
) -> None:
    before = figures(api).get(requests(*counted), 0)
    assert app.test_client().open(path, method=method, buffered=True).status_code == counted[2]
    assert figures(api)[requests(*counted)] == before + 1


def test_any_number_of_paths_and_methods_makes_no_further_series(app: Flask, api: Caller) -> None:
    app.test_client().open(f"/{unique()}", method="ODD")
    before = figures(api).keys()
    for _ in range(20):
        app.test_client().open(f"/{unique()}", method=re.sub("[^A-Z]", "", unique().upper()) + "X")
    assert figures(api).keys() == before


def test_what_is_done_again_is_counted_by_its_door(api: Caller) -> None:
    repeats, key, body = 'order_repeats_total{door="http"}', unique(), create_body()
    before = figures(api).get(repeats, 0)
    for _ in range(3):
        assert api.post("/createOrder", body, Idempotency_Key=key).status_code == 201
    assert figures(api)[repeats] == before + 2


def test_the_connections_of_requests_are_shown_beside_their_limit(url: str) -> None:
    app = make_app(url)  # of the apps in one process the newest is shown
    api = Caller(app.test_client())
    api.create()
    found = figures(api)
    idle, used = (found[f'order_database_connections{{state="{state}"}}'] for state in ("idle", "used"))
    assert (used, found["order_database_connections_limit"]) == (0, app.extensions["settings"].database_pool)
    assert 1 <= idle <= found["order_database_connections_limit"]


def test_the_flow_counts_calls_of_exactly_the_endpoints_of_orders(app: Flask) -> None:
    endpoints = app.extensions["endpoints"]
    assert {found.route for found in endpoints if found.name.startswith("orders.")} == ORDERS
