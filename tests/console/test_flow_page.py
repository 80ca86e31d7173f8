"""The flow page: four charts of the last hour, and the sentence in their place while the table cannot be read."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from app.models.flow import Figures, Waiting, Work
from app.operations.transaction import LOCK_SECONDS
from tests.contract.conftest import Tables

A_ROW = "INSERT INTO flow_minutes VALUES (date_trunc('minute', now()) - %s * interval '1 min', %s, %s)"


@pytest.fixture
def told(tables: Tables) -> Iterator[Tables]:
    """An hour of two processes."""
    began = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    for minute in range(1, 61):
        work = Work(
            {"created": minute, "accepted": 1}, {"order_taken": 2}, 1, 50, 3, {"0.01": 40, "0.1": 10, "+Inf": 0}
        )
        for holder in ("host-1:1:a", "host-2:2:b"):
            figures = Figures("1.0.0 abc", began, work, Waiting(1, 2.5, 3, 0.5))
            tables.rows(A_ROW, minute, holder, json.dumps(asdict(figures)))
    yield tables
    tables.rows("DELETE FROM flow_minutes")


def test_the_last_hour_is_drawn(told: Tables, client: FlaskClient) -> None:
    answer = client.get("/console/flow")
    assert answer.status_code == 200
    assert answer.text.count('<svg class="chart"') == 4
    assert answer.text.count("<polyline") == 7
    assert "order_taken</td>" in answer.text
    assert "2 told the last one" in answer.text
    assert 'style="' not in answer.text


def test_without_figures_the_page_is_there(client: FlaskClient) -> None:
    answer = client.get("/console/flow")
    assert (answer.status_code, answer.text.count("<polyline")) == (200, 0)
    assert "No order changed." in answer.text


@pytest.mark.parametrize(
    ("page", "table"),
    [("flow", "flow_minutes"), ("waits", "order_counts"), ("database", "order_count_deltas")],
)
def test_a_locked_table_takes_its_part_away_and_nothing_else(
    tables: Tables, client: FlaskClient, page: str, table: str
) -> None:
    client.get(f"/console/{page}")  # templates are compiled
    with closing(tables.connect()) as holder, holder, holder.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        answer = client.get(f"/console/{page}")
        assert time.monotonic() - began < LOCK_SECONDS
    assert answer.status_code == 200
    assert "locked by somebody else" in answer.text
    assert "<h1>" in answer.text


@pytest.mark.parametrize("page", ["flow", "waits", "database"])
def test_htmx_gets_the_part_that_it_refreshes(client: FlaskClient, page: str) -> None:
    part = client.get(f"/console/{page}", headers={"HX-Request": "true"})
    assert (part.status_code, "<html" in part.text, "ETag" in part.headers) == (200, False, True)
