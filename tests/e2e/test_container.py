"""The container without a docker engine: the Dockerfile's own steps, and what compose file and manifests say."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.builders import create_body
from tests.harness.secure_broker import PASSWORD, SecureBroker
from tests.harness.tls import TlsPostgres
from tests.harness.two_users import PASSWORDS, made_as_documented
from tests.harness.waiting import until
from tests.harness.world import Wire, a_create
from tests.kubernetes.kustomize import render
from tests.kubernetes.pods import container as container_of
from tests.kubernetes.pods import environment, labels, workloads
from tools import container
from tools.stack.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "127.0.0.1:1"
USER = 10001


@pytest.fixture(scope="module")
def image() -> Iterator[container.Image]:
    """What the Dockerfile's steps make, in a folder that a plain user can read, as the image's is."""
    folder = Path(tempfile.mkdtemp(prefix="container-"))
    folder.chmod(0o755)
    try:
        yield container.build(folder)
    finally:
        shutil.rmtree(folder)


@pytest.mark.timeout(300)  # a hashed install
def test_the_dockerfiles_steps_make_a_healthy_service_that_stops_cleanly(
    image: container.Image, database_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(container, "build", lambda _: image)
    monkeypatch.setattr(sys, "argv", ["container", str(image.folder)])
    for name, value in (("DATABASE_URL", database_url), ("KAFKA_BOOTSTRAP_SERVERS", NOWHERE), ("PORT", free_port())):
        monkeypatch.setenv(name, str(value))
    code = container.main()
    said, complained = capfd.readouterr()
    assert code == 0, said + complained
    assert "healthy" in said
    assert "user 10001" in said
    assert "createOrder answered 201" in said
    assert "stopped with 0" in said
    if os.geteuid() == 0 and "allows no mounts" not in complained:
        assert "stays writable" not in complained  # the root file system was read-only, and that was tried
    assert {path.name for path in (image.work / "docs").iterdir()} == {"openapi.json", "asyncapi.json"}


def test_a_step_that_is_not_carried_out_is_a_disagreement(tmp_path: Path) -> None:
    image = container.Image(tmp_path)
    with pytest.raises(container.Disagreement, match="does not know"):
        container._step(image, "RUN", "apt-get install something")
    with pytest.raises(container.Disagreement, match="does not know"):
        container._step(image, "ADD", "secret /")


def test_both_lists_of_packages_are_sent_to_the_build() -> None:
    assert all(container._is_sent(name) for name in ("requirements.txt", "requirements-tracing.txt"))


def test_the_dockerfile_passes_its_linter() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_starts_the_service_on_3002_after_its_database_and_broker() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    service = services["order-service"]
    assert service["ports"] == ["3002:3000"]
    assert service["depends_on"] == {name: {"condition": "service_healthy"} for name in ("order-db", "kafka")}
    assert all("healthcheck" in services[name] for name in service["depends_on"])
    assert "@order-db:5432/order_db" in service["environment"]["DATABASE_URL"]
    assert "$" not in service["environment"]["DATABASE_URL"]  # a password with an @ in it would be half a host
    assert service["environment"]["PGPASSWORD"] == services["order-db"]["environment"]["POSTGRES_PASSWORD"]
    assert service["environment"]["KAFKA_BOOTSTRAP_SERVERS"].startswith("kafka:")


def test_the_compose_service_writes_to_a_tmpfs_alone_and_has_no_rights() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    service = services["order-service"]
    assert service["read_only"] is True
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert all(each["cap_drop"] == ["ALL"] for each in services.values())
    assert all(each["security_opt"] == ["no-new-privileges:true"] for each in services.values())
    assert {name for name, each in services.items() if "cap_add" in each} == {"order-db"}


def test_each_image_is_pinned_by_a_version_and_its_digest() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    built_on = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    images = [*built_on, *(service["image"] for service in services.values() if "image" in service)]
    assert len(images) == 3
    assert [image for image in images if not re.fullmatch(r"\S+:\d+(\.\d+)+\S*@sha256:[0-9a-f]{64}", image)] == []


def test_the_compose_broker_has_one_listener_inside_and_one_for_the_host() -> None:
    kafka = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["kafka"]
    advertised = kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert {address.partition("://")[2] for address in advertised} == {"kafka:29092", "localhost:9092"}
    assert kafka["ports"] == ["9092:9092"]


class Pods:
    """The containers of the overlay api-worker as processes: their own commands, settings and secrets.

    `replaced`: what stands here for the addresses and paths of the manifests.
    """

    def __init__(self, image: container.Image, replaced: dict[str, str]) -> None:
        self._image = image
        self._replaced = replaced
        self._rights = container.rights(image)
        self._rendered = render(ROOT / "deploy" / "kubernetes" / "overlays" / "api-worker")
        self._workloads = {labels(it)["app.kubernetes.io/component"]: it for it in workloads(self._rendered)}

    def run(self, component: str, *command: str, port: int = 3000, **options: Any) -> subprocess.Popen[bytes]:
        """Start the component's container, or another command in it, as `kubectl exec` does."""
        workload = self._workloads[component]
        given = environment(self._rendered, workload)
        for written, here in self._replaced.items():
            given = {name: value.replace(written, here) for name, value in given.items()}
        told = command or container_of(workload).get("command") or self._image.command
        return container.spawn(self._image, self._rights, told, given | {"PORT": str(port)}, **options)

    def probe(self, component: str, which: str, port: int) -> bool:
        """Ask as the kubelet does."""
        told = container_of(self._workloads[component])[f"{which}Probe"]
        url = f"http://127.0.0.1:{port}{told['httpGet']['path']}"
        try:
            with urllib.request.urlopen(url, timeout=told["timeoutSeconds"]) as answer:
                return bool(answer.status < 400)
        except OSError:
            return False

    def grace(self, component: str) -> int:
        """Return for how many seconds the kubelet waits for the end."""
        return int(self._workloads[component]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])


@pytest.fixture
def pods(image: container.Image, tls_postgres: TlsPostgres, secure: SecureBroker) -> Iterator[Pods]:
    """A new, empty database whose users have no rights on tables yet, and the topics."""
    secure.create_service_topics()
    volumes = image.folder / "run"
    contents = {
        "owner/password": PASSWORDS["order_owner"].encode(),
        "postgresql/password": PASSWORDS["order_service"].encode(),
        "kafka/password": PASSWORD.encode(),
        "authorities/postgresql.crt": tls_postgres.authority.file.read_bytes(),
        "authorities/kafka.crt": secure.ca_file.read_bytes(),
    }
    for name, content in contents.items():
        (volumes / name).parent.mkdir(parents=True, exist_ok=True)
        (volumes / name).write_bytes(content)
        (volumes / name).chmod(0o440)
        if os.geteuid() == 0:
            os.chown(volumes / name, 0, USER)  # root's, and readable by fsGroup
    with made_as_documented(tls_postgres) as name:
        yield Pods(
            image,
            {
                "/run/order-service": str(volumes),
                "db.example:5432/order_db": f"localhost:{tls_postgres.port}/{name}",
                "kafka-0.example:9093,kafka-1.example:9093,kafka-2.example:9093": secure.address("LOGIN"),
            },
        )


def create(port: int, key: str) -> str | None:
    """Return the id of a new order; None where the key is not taken."""
    head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("POST", "/createOrder", json.dumps(create_body()), head)
        found: str | None = json.loads(connection.getresponse().read()).get("order_id")
        return found


@pytest.mark.timeout(300)  # a hashed install, if this is the first test to need it
def test_the_manifests_carry_an_order_from_its_caller_to_kafka(pods: Pods, secure: SecureBroker) -> None:
    """In a production's way: TLS to both servers, logins by files, an owner that migrates and a user that runs."""
    assert pods.run("migration").wait(60) == 0
    ports = {"api": free_port(), "worker": free_port()}
    probes = [(name, probe) for name in ports for probe in ("startup", "liveness", "readiness")]
    with ExitStack() as stack:
        running = {name: stack.enter_context(killed(pods.run(name, port=port))) for name, port in ports.items()}
        make = ("flask", "orders", "keys", "create", "front-end", "--scope=orders:write", "--as=deployer", "--json")
        made, _ = pods.run("api", *make, stdout=subprocess.PIPE).communicate(timeout=60)
        until(lambda: all(pods.probe(name, probe, ports[name]) for name, probe in probes), "the probes")
        assert create(ports["api"], "of-nobody") is None
        order_id = until(lambda: create(ports["api"], json.loads(made)["key"]), "the key to be known")
        with secure.admin() as admin, closing(Wire(secure.bootstrap, admin)) as wire:
            command = a_create()
            wire.send("order_commands", json.dumps(command).encode())
            wanted = (order_id, command["correlation_id"])
            until(lambda: all(each in str(wire.read("order_events")) for each in wanted), "the event and the reply")
        for name, process in running.items():
            process.terminate()
            assert process.wait(pods.grace(name)) == 0


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Leave nothing behind, whatever happens in the body."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
