"""Where uvloop is not to be had, asyncio's own loop serves."""

from pathlib import Path

import pytest

from tests.harness.service import Instance
from tests.network.test_requests import ORDER
from tests.network.wire import HEALTH, POST, ask, client

FILE = HEALTH.replace(b"/health", b"/apidocs/swagger-ui-5.35.0/swagger-ui-bundle.js")
CREATE = POST + b"Content-Length: %d\r\n\r\n%s" % (len(ORDER), ORDER)


@pytest.fixture
def port(own_service: Instance, tmp_path: Path) -> int:
    """Of a service that cannot import it."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "uvloop.py").write_text("raise ImportError('not here')\n")
    own_service.settings["PYTHONPATH"] = str(tmp_path / "without")
    own_service.start()
    return own_service.port


def test_it_does_what_the_other_does(port: int, own_service: Instance) -> None:
    """Kept connections, requests sent ahead, a large answer, a large body, half a request, no HTTP; and it stops."""
    with client(port) as caller:
        caller.send((HEALTH + CREATE) * 50)
        assert [caller.answer().status for _ in range(100)] == [200, 201] * 50
        assert len(caller.ask(FILE).body) > 1_000_000
    body = b"x" * 10_000_000
    with client(port) as caller:
        assert caller.ask(POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)).status == 413
    assert ask(port, CREATE[:-5], half_close=True).status == 400
    assert ask(port, b"NONSENSE\r\n\r\n").status == 400
    assert own_service.terminate() == 0
    assert "Traceback" not in own_service.log_text()
