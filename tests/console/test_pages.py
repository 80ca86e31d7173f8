import pytest
from flask.testing import FlaskClient


@pytest.mark.parametrize(
    "path", ["/console", "/console/", "/console/instances", "/console/search?q=x", "/console/strip"]
)
def test_each_page_is_there(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
