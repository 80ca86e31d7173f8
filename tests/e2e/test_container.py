"""The container without a docker engine: the Dockerfile's own steps, and what the compose file says."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tools import container
from tools.stack.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that a plain user can read, as the image's is."""
    folder = Path(tempfile.mkdtemp(prefix="container-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.timeout(300)  # a hashed install
def test_the_dockerfiles_steps_make_a_healthy_service_that_stops_cleanly(database_url: str, open_folder: Path) -> None:
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "PORT": str(free_port()),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tools.container", str(open_folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "healthy" in done.stdout
    assert "user 10001" in done.stdout
    assert "createOrder answered 201" in done.stdout
    assert "stopped with 0" in done.stdout
    if os.geteuid() == 0 and "allows no mounts" not in done.stderr:
        assert "stays writable" not in done.stderr  # the root file system was read-only, and that was tried
    assert {path.name for path in (open_folder / "service" / "docs").iterdir()} == {"openapi.json", "asyncapi.json"}


def test_a_step_that_is_not_carried_out_is_a_disagreement(tmp_path: Path) -> None:
    image = container.Image(tmp_path)
    with pytest.raises(container.Disagreement, match="does not know"):
        container._step(image, "RUN", "apt-get install something")
    with pytest.raises(container.Disagreement, match="does not know"):
        container._step(image, "ADD", "secret /")


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
