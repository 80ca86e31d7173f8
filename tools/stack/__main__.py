"""`python -m tools.stack run|up`: what `make run` and `make stack` do after the installation."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType

from dotenv import load_dotenv

from tools.stack.addresses import left_in
from tools.stack.broker import Broker
from tools.stack.errors import JarsMissing, PortTaken, StackError
from tools.stack.ports import free_port, require_free
from tools.stack.postgres import Postgres
from tools.stack.server import Server
from tools.stack.service import CHECKOUT, Service, check_settings

_FOLDER = CHECKOUT / ".stack"
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXAMPLE = (
    '{"customer_id":"c-1","order_details":{"foodItems":[{"name":"Soup","price":4.50,"quantity":2}],'
    '"deliveryLocation":"Library","deliveryFee":1.99}}'
)


def main() -> int:
    """Return the exit code: 0 after Ctrl-C or SIGTERM, 1 with a sentence where something could not be started."""
    arguments = _parser().parse_args()
    load_dotenv(CHECKOUT / ".env")  # as the service does
    action: Callable[[ExitStack], None] = arguments.action
    for number in _STOPPING:
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as parts:
            try:
                action(parts)
            except KeyboardInterrupt:
                _say("Stopping ...")
            finally:  # the parts stop next, the last one first, and nothing may interrupt that
                for number in _STOPPING:
                    signal.signal(number, signal.SIG_IGN)
    except StackError as error:
        _say(str(error))
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.stack",
        description="The service's own PostgreSQL and Apache Kafka on 127.0.0.1, without docker.",
        epilog="Environment or .env: PGPORT (5432) and KAFKA_PORT (9092), another one when it is taken; PORT (3000).",
    )
    commands = parser.add_subparsers(required=True, metavar="run|up")
    run = commands.add_parser("run", help="database, broker and the service; Ctrl-C stops all")
    run.set_defaults(action=_run)
    up = commands.add_parser("up", help="database and broker; prints their addresses; Ctrl-C stops both")
    up.set_defaults(action=_up)
    return parser


def _run(parts: ExitStack) -> None:
    postgres, broker = _servers()
    check_settings(_addresses(postgres, broker))  # finds what would stop the service before anything starts
    port = _port("PORT", 3000)
    _clear_leftovers(postgres, broker)
    require_free(port, Service.name)
    addresses = _start_stack(parts, postgres, broker)
    service = Service(_FOLDER / "service", port, addresses)
    began = _launch(parts, service)
    _await(service, began)
    parts.enter_context(left_in(_FOLDER / "addresses.env", addresses | {"ORDER_SERVICE": service.url}))
    _banner(service, addresses)
    while service.running:
        time.sleep(0.5)
    raise StackError("The order service ended by itself; its log above says why.")


def _up(parts: ExitStack) -> None:
    servers = _servers()
    _clear_leftovers(*servers)
    addresses = _start_stack(parts, *servers)
    parts.enter_context(left_in(_FOLDER / "addresses.env", addresses))
    for name, value in addresses.items():
        print(f"{name}={value}", flush=True)
    _say("Ctrl-C stops database and broker.")
    signal.pause()


def _servers() -> tuple[Postgres, Broker]:
    postgres = Postgres(_FOLDER / "postgres", _port("PGPORT", 5432))
    return postgres, Broker(_FOLDER / "broker", _port("KAFKA_PORT", 9092))


def _clear_leftovers(postgres: Postgres, broker: Broker) -> None:
    for leftover in (Service(_FOLDER / "service", 0, {}), broker, postgres):
        leftover.clear_leftover()


def _addresses(postgres: Postgres, broker: Broker) -> dict[str, str]:
    return {"DATABASE_URL": postgres.url(), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap}


def _start_stack(parts: ExitStack, postgres: Postgres, broker: Broker) -> dict[str, str]:
    """Start both at once, topics included, and return their addresses; without a broker the database's alone."""
    began = _launch_anywhere(parts, postgres)
    try:
        broker_began = _launch_anywhere(parts, broker)
    except JarsMissing as error:
        _say(f"{error} Going on without a broker.")
        _await(postgres, began)
        return {"DATABASE_URL": postgres.url()}
    _await(postgres, began)
    _await(broker, broker_began)
    broker.create_service_topics()
    return _addresses(postgres, broker)


def _launch_anywhere(parts: ExitStack, server: Server) -> float:
    try:
        return _launch(parts, server)
    except PortTaken as error:
        server.port = free_port()
        _say(f"{error} Using {server.port} instead.")
        return _launch(parts, server)


def _launch(parts: ExitStack, server: Server) -> float:
    """Start the server without waiting, let `parts` stop it in the end, and return the time of the start."""
    began = time.monotonic()
    server.launch()
    parts.callback(server.stop)
    return began


def _await(server: Server, began: float) -> None:
    server.await_answer()
    _say(f"Started {server.name} on 127.0.0.1:{server.port} in {time.monotonic() - began:.1f} s.")


def _banner(service: Service, addresses: dict[str, str]) -> None:
    curl = f"curl -s {service.url}/createOrder -H 'Content-Type: application/json' -d '{_EXAMPLE}'"
    exports = " ".join(f"{name}={value}" for name, value in (addresses | {"ORDER_SERVICE": service.url}).items())
    lines = [
        f"\nThe order service is ready at {service.url}",
        f"Its console, to see what it does: {service.url}/console",
        f"Its calls, to read and to try: {service.url}/apidocs/",
        f"Its commands and events: {service.url}/asyncapi",
        f"`flask orders` and the examples find all this by themselves. For your own commands:\n  export {exports}",
        f"Try:\n  {curl}\nCtrl-C stops everything.\n",
    ]
    _say("\n".join(lines))


def _port(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isascii() or not value.isdecimal() or not 0 < int(value) < 65536:
        raise StackError(f"{variable} must be a port between 1 and 65535, not {value!r}.")
    return int(value)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
