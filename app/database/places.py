"""The addresses of a PostgreSQL URL, one by one: each attempt to connect has a time limit of its own."""

import random
import socket
from collections.abc import Iterator, Mapping

from psycopg2.extensions import make_dsn, parse_dsn

DEFAULT_PORT = "5432"


def places(url: str) -> Iterator[str]:
    """Yield a connection string for each address, in the order in which libpq would try them.

    Blocks while a host's name is looked up. The hosts of a service file are left to libpq, as one place.
    """
    parameters = parse_dsn(url)
    wanted = parameters.get("target_session_attrs")
    # First a standby, then any server: libpq too goes through all hosts twice.
    for attribute in ("standby", "any") if wanted == "prefer-standby" else (wanted,):
        for place in _addresses(parameters):
            chosen = {} if attribute is None else {"target_session_attrs": attribute}
            yield make_dsn(**{**parameters, **place, **chosen})


def _addresses(parameters: Mapping[str, str]) -> Iterator[dict[str, str]]:
    hosts, addresses, ports = (_list(parameters, name) for name in ("host", "hostaddr", "port"))
    lengths = {len(given) for given in (hosts, addresses) if given}
    if len(lengths) != 1 or len(ports) not in (0, 1, *lengths):  # libpq itself says what does not fit together
        yield {}
        return
    count = max(len(hosts), len(addresses))
    numbered = list(range(count))
    if parameters.get("load_balance_hosts") == "random":
        random.shuffle(numbered)
    for number in numbered:
        host = hosts[number] if hosts else ""
        port = (ports[number] if len(ports) > 1 else ports[0] if ports else "") or DEFAULT_PORT
        place = {"port": port, **({"host": host} if hosts else {})}
        if addresses:
            yield {**place, "hostaddr": addresses[number]}
        elif host.startswith(("/", "@")) or not host:
            yield place
        else:
            found = _looked_up(host, port)
            # Where no address was found, libpq looks itself, and says why there is none.
            yield from ({**place, "hostaddr": address} for address in found) if found else (place,)


def _looked_up(host: str, port: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return []
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def _list(parameters: Mapping[str, str], name: str) -> list[str]:
    value = parameters.get(name)
    return value.split(",") if value else []
