"""The typed client that openapi-python-client makes of the committed document works against a running service."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tools.stack.ports import free_port
from tools.stack.postgres import Postgres
from tools.stack.service import CHECKOUT, Service

PACKAGE = "generated_order_client"


@pytest.fixture(scope="module")
def service(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service as a process of its own."""
    settings = {"DATABASE_URL": postgres.create_database("client"), "ROLES": "api", "LOG_LEVEL": "warning"}
    process = Service(tmp_path_factory.mktemp("Service"), free_port(), settings)
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The client's package, generated as its user would."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "config.yml").write_text(f"package_name_override: {PACKAGE}\npost_hooks: []\n")
    command = ["generate", "--path", str(CHECKOUT / "docs/openapi.json"), "--config", str(folder / "config.yml")]
    command += ["--meta", "none", "--output-path", str(folder / PACKAGE), "--fail-on-warning"]
    subprocess.run([sys.executable, "-m", "openapi_python_client", *command], check=True, cwd=folder)
    sys.path.insert(0, str(folder))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(folder))


def part(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}")


def test_a_typed_client_creates_reads_and_accepts_an_order(generated: ModuleType, service: Service) -> None:
    """[H3] [H4] [H6] [H8] [H9]"""
    models = part("models")
    item = models.OrderDetailsFoodItemsItem(price=8.5, quantity=2)
    item["name"] = "Burrito"
    details = models.OrderDetails(food_items=[item], delivery_location="Dorm 5", delivery_fee="2.50")
    new = models.CreateOrderBody(customer_id="customer-1", order_details=details)
    with generated.Client(base_url=service.url) as client:
        first, again = (
            part("api.orders.create_order").sync(client=client, body=new, idempotency_key="lunch-1") for _ in range(2)
        )
        assert isinstance(first, models.Done)
        assert again == first
        order_id = first.order_id

        to_created = models.UpdateStatusBody(order_id=order_id, status=models.UpdateStatusBodyStatus.CREATED)
        changed = part("api.progress.update_order_status").sync(client=client, body=to_created)
        assert changed.order.order_status is models.OrderStatus.CREATED

        accept = part("api.runners.verify_and_accept_order").sync
        won = accept(client=client, body=models.AcceptOrderBody(order_id=order_id, runner_id="runner-1"))
        lost = accept(client=client, body=models.AcceptOrderBody(order_id=order_id, runner_id="runner-2"))
        assert won.success
        assert isinstance(lost, models.Failure)
        assert lost.code == "order_taken"

        order = part("api.orders.get_order_details").sync(client=client, order_id=order_id)
        assert (order.runner_id, order.food_fee, order.delivery_fee) == ("runner-1", 17.0, 2.5)
        assert order.accepted_at >= order.created_at
        page = part("api.orders.list_orders").sync(client=client, status=models.ListOrdersStatus.ACCEPTED)
        assert [found.order_id for found in page.items] == [order_id]
