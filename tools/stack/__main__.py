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

from tools.stack.broker import Broker
from tools.stack.errors import JarsMissing, PortTaken, StackError
from tools.stack.ports import free_port, require_free
from tools.stack.postgres import Postgres
from tools.stack.server import Server
from tools.stack.service import CHECKOUT, Service

_FOLDER = CHECKOUT / ".stack"
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXAMPLE = (
    '{"customer_id":"c-1","order_details":{"foodItems":[{"name":"Soup","price":4.50,"quantity":2}],'
    '"deliveryLocation":"Library","deliveryFee":1.99}}'
)


def main() -> int:
    """Returns the exit code: 0 after Ctrl-C or SIGTERM, 1 with a sentence when something could not be started."""
    arguments = _parser().parse_args()
    load_dotenv()  # as the service does
    action: Callable[[ExitStack], None] = arguments.action
    for number in _STOPPING:
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as parts:
            try:
                Service(_FOLDER / "service", 0, {}).clear_leftover()  # first: it uses the other two
                action(parts)
            except KeyboardInterrupt:
                _say("Stopping ...")
            finally:  # the parts are stopped next, last started first: nothing may interrupt that
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
        epilog="Environment: PGPORT (5432) and KAFKA_PORT (9092), another one is chosen when it is taken; PORT (3000).",
    )
    commands = parser.add_subparsers(required=True, metavar="run|up")
    run = commands.add_parser("run", help="database, broker and the service; Ctrl-C stops all")
    run.set_defaults(action=_run)
    up = commands.add_parser("up", help="database and broker; prints their addresses; Ctrl-C stops both")
    up.set_defaults(action=_up)
    return parser


def _run(parts: ExitStack) -> None:
    port = _port("PORT", 3000)
    require_free(port, Service.name)  # before database and broker take their seconds
    settings = _start_stack(parts)
    service = Service(_FOLDER / "service", port, settings)
    _start(parts, service)
    _banner(service, settings)
    while service.running:
        time.sleep(0.5)
    raise StackError("The order service ended by itself; its log above says why.")


def _up(parts: ExitStack) -> None:
    for name, value in _start_stack(parts).items():
        print(f"{name}={value}", flush=True)
    _say("Ctrl-C stops database and broker.")
    signal.pause()


def _start_stack(parts: ExitStack) -> dict[str, str]:
    """Start both, topics included, and return the service's settings. Without a broker its address is left out."""
    postgres = Postgres(_FOLDER / "postgres", _port("PGPORT", 5432))
    broker = Broker(_FOLDER / "broker", _port("KAFKA_PORT", 9092))
    for leftover in (broker, postgres):
        leftover.clear_leftover()
    _start_anywhere(parts, postgres)
    settings = {"DATABASE_URL": postgres.url()}
    try:
        _start_anywhere(parts, broker)
    except JarsMissing as error:
        _say(f"{error} Going on without a broker.")
        return settings
    broker.create_service_topics()
    return settings | {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap}


def _start_anywhere(parts: ExitStack, server: Server) -> None:
    try:
        _start(parts, server)
    except PortTaken as error:
        server.port = free_port()
        _say(f"{error} Using {server.port} instead.")
        _start(parts, server)


def _start(parts: ExitStack, server: Server) -> None:
    """Start it, and have it stopped in the end."""
    began = time.monotonic()
    server.start()
    parts.callback(server.stop)
    _say(f"Started {server.name} on 127.0.0.1:{server.port} in {time.monotonic() - began:.1f} s.")


def _banner(service: Service, settings: dict[str, str]) -> None:
    curl = f"curl -s {service.url}/createOrder -H 'Content-Type: application/json' -d '{_EXAMPLE}'"
    addresses = " ".join(f"{name}={value}" for name, value in settings.items())
    lines = [
        f"\nThe order service is ready at {service.url}; to read and try: {service.url}/apidocs/ and /asyncapi",
        f"For commands in other terminals:\n  export {addresses}",
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
