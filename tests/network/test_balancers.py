"""The service behind nginx and HAProxy, with their defaults and with kept connections."""

import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import psycopg2
import pytest

from tests.harness.load import ORDER_DETAILS, Connection
from tests.harness.service import Instance
from tests.harness.waiting import until
from tests.harness.world import wait_for
from tests.network.balancers import Balancer, Haproxy, Nginx
from tests.network.test_requests import ORDER
from tests.network.wire import HEALTH, POST, Answer, client

KINDS: dict[str, Callable[..., Balancer]] = {
    "nginx": Nginx,
    "nginx-kept": lambda folder, ports: Nginx(folder, ports, keeps=True),
    "haproxy": Haproxy,
    "haproxy-careful": lambda folder, ports: Haproxy(folder, ports, careful=True),
}
PAGES = ("/", "/apidocs/", "/asyncapi", "/openapi.json", "/asyncapi.json")


@pytest.fixture(params=list(KINDS))
def balancer(request: pytest.FixtureRequest, service: Instance, tmp_path: Path) -> Iterator[Balancer]:
    made = KINDS[request.param](tmp_path / "balancer", [service.port])
    made.start()
    yield made
    made.stop()


def test_every_kind_of_request_is_answered_behind_it(balancer: Balancer) -> None:
    """In one connection of the client: reads, a create, one in chunks, refusals, a HEAD."""
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(ORDER), ORDER)
    with client(balancer.port) as caller:
        for _ in range(20):
            assert caller.ask(HEALTH).status == 200
            assert caller.ask(POST + b"Content-Length: %d\r\n\r\n%s" % (len(ORDER), ORDER)).status == 201
            assert caller.ask(chunked).status == 201
            assert caller.ask(HEALTH.replace(b"GET", b"HEAD"), "HEAD").status == 200
            refused = caller.ask(HEALTH.replace(b"/health", b"/nope"))
            assert (refused.status, refused.json["code"]) == (404, "not_found")


def test_what_the_service_refuses_early_reaches_the_caller(balancer: Balancer) -> None:
    """A body that is too large for it, and small enough for nginx."""
    for body in (b"x" * 200_000, b"x" * 900_000):
        with client(balancer.port) as caller:
            answer = caller.ask(POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            assert (answer.status, answer.json["code"]) == (413, "body_too_large")


def test_pages_and_redirects_lead_right_under_a_path_prefix(service: Instance, tmp_path: Path) -> None:
    """Though nobody tells the service of it: its links are relative."""
    nginx = Nginx(tmp_path / "nginx", [service.port])
    nginx.start()
    try:
        with client(nginx.port) as caller:

            def get(path: str) -> Answer:
                accept = "text/html" if path.endswith(("/", "asyncapi")) else "*/*"
                return caller.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())

            redirect = get("/shop/apidocs")
            assert (redirect.status, urljoin("/shop/apidocs", redirect.headers["location"])) == (308, "/shop/apidocs/")
            for page in PAGES:
                answer = get(f"/shop{page}")
                assert answer.status == 200, page
                for link in re.findall(rb'(?:href|src)="([^"#]+)"', answer.body):
                    target = urljoin(f"/shop{page}", link.decode())
                    assert target.startswith("/shop/"), (page, link)
                    assert get(target).status == 200, (page, link)
            [server] = get("/shop/openapi.json").json["servers"]
            assert urljoin("/shop/openapi.json", server["url"]) == "/shop/"
    finally:
        nginx.stop()


@pytest.mark.parametrize(("trusted", "address"), [("127.0.0.1", "203.0.113.9"), ("", "127.0.0.1")])
def test_the_log_has_the_address_that_a_trusted_proxy_names(
    own_service: Instance, tmp_path: Path, trusted: str, address: str
) -> None:
    own_service.settings |= {"FORWARDED_ALLOW_IPS": trusted, "LOG_LEVEL": "debug"}
    own_service.start()
    nginx = Nginx(tmp_path / "nginx", [own_service.port])
    nginx.start()
    try:
        with client(nginx.port) as caller:
            named = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: gopher\r\nSCRIPT_NAME: /x\r\n\r\n"
            assert caller.ask(HEALTH.removesuffix(b"\r\n") + named).status == 200
            assert caller.ask((HEALTH.removesuffix(b"\r\n") + named).replace(b"/health", b"/nope")).status == 404
    finally:
        nginx.stop()
    until(lambda: f"GET /nope from {address}: 404" in own_service.log_text(), "the second line")
    assert f"GET /health from {address}: 200" in own_service.log_text()


class Load:
    """Callers behind a balancer, each with a connection that is kept."""

    def __init__(self, port: int, callers: int = 6) -> None:
        self.answers: Counter[object] = Counter()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call, args=(port,)) for _ in range(callers)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def done(self, count: int) -> Callable[[], bool]:
        """Return what tells whether so many more are answered."""
        least = self.answers.total() + count
        return lambda: self.answers.total() >= least

    def _call(self, port: int) -> None:
        with Connection([port]) as connection:
            while not self._stop.wait(0.005):
                answer = connection.call("POST", "/createOrder", {"customer_id": "b", "order_details": ORDER_DETAILS})
                with self._lock:
                    self.answers[answer[0] if answer else connection.lost] += 1


@pytest.mark.parametrize("kind", ["nginx", "nginx-kept", "haproxy-careful"])
def test_an_instance_that_is_restarted_costs_no_request(
    service: Instance, own_service: Instance, tmp_path: Path, kind: str
) -> None:
    """Of two behind the balancer; what was accepted is answered, and each answer is one order."""
    own_service.start()
    balancer = KINDS[kind](tmp_path / "balancer", [service.port, own_service.port])
    balancer.start()
    before = orders(service)
    try:
        with Load(balancer.port) as load:
            wait_for(load.done(100), "answers")
            assert own_service.terminate() == 0
            wait_for(load.done(50), "answers of the other one", 30)
            own_service.start()
            wait_for(load.done(100), "answers of both", 30)
    finally:
        balancer.stop()
    assert set(load.answers) == {201}
    assert orders(service) - before == load.answers[201]


@pytest.mark.parametrize("kind", ["nginx-kept", "haproxy"])
def test_new_workers_cost_no_request(own_service: Instance, tmp_path: Path, kind: str) -> None:
    """SIGHUP behind a balancer that keeps its connections."""
    own_service.start()
    balancer = KINDS[kind](tmp_path / "balancer", [own_service.port])
    balancer.start()
    try:
        with Load(balancer.port) as load:
            wait_for(load.done(50), "answers")
            master, worker = own_service.processes()
            master.send_signal(signal.SIGHUP)
            wait_for(lambda: not worker.is_running(), "new workers", 30)
            wait_for(load.done(50), "answers of the new one")
    finally:
        balancer.stop()
    assert set(load.answers) == {201}


def orders(service: Instance) -> int:
    connection = psycopg2.connect(service.settings["DATABASE_URL"])
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orders")
        found = cursor.fetchone()
    connection.close()
    assert found is not None
    return int(found[0])
