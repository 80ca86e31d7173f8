"""What an endpoint reads of a request."""

from typing import Any
from urllib.parse import parse_qsl

import pytest

from app.api import requests
from app.api.requests import begin, query_text


def test_a_query_is_parsed_once_for_all_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop waits meanwhile; a query may have 8 KiB."""
    parsed: list[str] = []

    def count(query: str, **how: Any) -> list[tuple[str, str]]:
        parsed.append(query)
        return parse_qsl(query, **how)

    monkeypatch.setattr(requests, "parse_qsl", count)
    query = "runnerId=first&page=2&runnerId=second&limit=&status=CREATED&once"
    request = begin("GET", "/orders", query, lambda name: (), bytes)
    names = ("runnerId", "status", "page", "limit", "nothing")
    assert [query_text(request, name) for name in names] == ["first", "CREATED", "2", None, None]
    assert parsed == [query]
