"""DATABASE_URL in libpq's form or in SQLAlchemy's, brought into one form that both read alike.

libpq puts several hosts before the path (`h1:1,h2:2`), SQLAlchemy puts each into a parameter (`?host=h1:1&host=h2:2`).
SQLAlchemy refuses the former. Of the latter libpq takes the last host, with its port, for a name. An address that would
fail at every connection is refused here: with it the service would start and never be ready.

A parameter of the service's own, `password_file`, may end an address: the file is read at each connection.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import quote, unquote

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
}
_NOWHERE = {"host": "/nonexistent/order-service", "hostaddr": "", "port": "5432", "gssencmode": "disable"}
"""A socket in a folder that does not exist: no attempt to connect gets anywhere. It overrides libpq's service file."""
_TRIED = "connection to server|could not connect to server"
_PLACE = ("user", "password", "host", "port", "dbname")
_FILE_PARAMETER = "password_file"


def normalized(value: str) -> str:
    """Return the address as `postgresql+psycopg2://…`. Raises ValueError with a sentence that holds nothing secret."""
    if value != value.strip() or not value.isprintable():
        raise ValueError("must not have spaces or line breaks at its ends, nor control characters")
    found = re.fullmatch(r"postgres(?:ql)?(?:\+[a-z0-9]+)?://([^?]*)(?:\?(.*))?", value)
    if not found:
        raise ValueError("must be an URL such as postgresql://user:password@host:5432/name")
    base, query = found[1], found[2] or ""
    pairs = [_pair(pair) for pair in query.split("&") if pair]
    hosts = [host for name, value in pairs if name == "host" for host in value.split(",")]
    # Of several values the last one counts, as for libpq.
    given = {name: value for name, value in pairs if name != "host"}
    parameters = _parsed(base, given, named="@" not in query)
    if hosts:
        parameters |= _places(hosts, parameters.get("port", ""))
    _check(parameters)
    _ask_libpq(parameters)
    return _rendered(parameters)


def without_secrets(url: str) -> str:
    """Return a normalized address that may be shown: hosts, ports, user and database; the password as `***`."""
    shown = parse_dsn(libpq_url(url))
    return _rendered({name: "***" if name == "password" else shown[name] for name in _PLACE if name in shown})


def libpq_url(url: str) -> str:
    """Return a normalized address in libpq's form, which knows nothing of a file with the password."""
    address, _, _ = url.partition(f"{_FILE_PARAMETER}=")  # everywhere else a = is written as %3D, or ends a name
    return address.rstrip("?&").replace("postgresql+psycopg2://", "postgresql://", 1)


def with_password_file(url: str, path: str) -> str:
    """Return a normalized address whose password is what the file holds at the time of each connection."""
    return f"{url}{'&' if '?' in url else '?'}{_FILE_PARAMETER}={quote(path, safe='')}"


def password_file_of(url: str) -> str | None:
    """Return the path of the file with the password of a normalized address, None where it has none."""
    _, _, path = url.partition(f"{_FILE_PARAMETER}=")
    return unquote(path) or None


def has_password(url: str) -> bool:
    """Tell whether a normalized address holds a password, or names libpq's own file of passwords."""
    return not {"password", "passfile"}.isdisjoint(parse_dsn(libpq_url(url)))


def hosts_of(url: str) -> list[str]:
    """Return the hosts of a normalized address, as the network has them; an empty one is a socket of this machine.

    An address without a host gets it from PGHOSTADDR or PGHOST, as libpq does. Which hosts a service file names is not
    known: the service stands for them.
    """
    given = parse_dsn(libpq_url(url))
    named = given.get("hostaddr") or given.get("host") or os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST", "")
    service = given.get("service") or os.environ.get("PGSERVICE")
    return [*named.split(","), *([f"service {service}"] if service else [])]


def sslmode_of(url: str) -> str:
    """Return the `sslmode` of a normalized address, or of PGSSLMODE; `prefer` where neither has one."""
    return parse_dsn(libpq_url(url)).get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"


def place_of(url: str) -> tuple[str, str, str]:
    """Return the database, the hosts as a comma list of host:port, and the user of a normalized address."""
    given = parse_dsn(libpq_url(url))
    hosts = (given.get("host") or "localhost").split(",")
    ports = given.get("port", "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = (f"{host}:{port or 5432}" for host, port in zip(hosts, ports, strict=True))
    return given["dbname"], ", ".join(places), given.get("user", "")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("must have a value for each parameter: ?name=value&name=value")
    return unquote(name), unquote(value)


def _parsed(base: str, given: Mapping[str, str], *, named: bool) -> dict[str, str]:
    """Return libpq's parameters. `named`: a parameter may be named in an error, for it is no part of a password."""
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in given.items())
    try:
        return dict(parse_dsn(f"postgresql://{base}?{query}"))
    except psycopg2.Error as error:
        unknown = re.search(r'invalid URI query parameter: "([a-z_]+)"', str(error))
        if unknown and named:
            raise ValueError(f"must have parameters that libpq knows; it does not know {unknown[1]}") from None
        raise ValueError(
            "must be an URL that libpq reads: % @ : / ? # within names and passwords as %25 %40 …"
        ) from None


def _places(hosts: list[str], ports: str) -> dict[str, str]:
    """Return hosts and ports as libpq takes them. A port stands behind its host or in a list of its own."""
    pairs = [re.fullmatch(r"(/.*|\[[^]]*\]|[^:]*|[^:]*:[^:]*:.*?)(?::([0-9]+))?", host) for host in hosts]
    if not all(pairs):
        raise ValueError("must have a port number behind each host's colon")
    behind = [pair[2] or "" for pair in pairs if pair]
    found = {"host": ",".join(pair[1].strip("[]") for pair in pairs if pair)}
    return found | ({"port": ",".join(behind)} if any(behind) else {"port": ports} if ports else {})


def _check(parameters: Mapping[str, str]) -> None:
    if not parameters.get("dbname"):
        raise ValueError("must be a postgresql:// URL with a database name")
    for name, choices in _CHOICES.items():
        if parameters.get(name, choices[0]) not in choices:
            raise ValueError(f"must have one of {', '.join(choices)} as {name}")
    ports = parameters.get("port", "").split(",")
    if not all(re.fullmatch(r"[0-9]{0,5}", port) and int(port or 5432) in range(1, 65536) for port in ports):
        raise ValueError("must have ports from 1 to 65535")
    hosts = parameters.get("host", parameters.get("hostaddr", "")).split(",")
    if len(ports) not in (1, len(hosts)):
        raise ValueError("must have one port, or as many as hosts")
    for address in filter(None, parameters.get("hostaddr", "").split(",")):
        try:
            ip_address(address)
        except ValueError:
            raise ValueError("must have an IP address as hostaddr") from None


def _ask_libpq(parameters: Mapping[str, str]) -> None:
    """Raise ValueError where libpq refuses a value. It checks all values before it tries a place, here an empty one."""
    try:
        psycopg2.connect(make_dsn(**{**parameters, **_NOWHERE}))
    except psycopg2.Error as error:
        if not re.match(_TRIED, str(error)):
            refused = [name for name in parameters if re.search(rf"\b{name}\b", str(error))]
            what = " and ".join(refused) or "what they are together"
            raise ValueError(f"must have values that libpq takes; it refuses {what}") from None


def _rendered(parameters: Mapping[str, str]) -> str:
    text = {name: quote(value, safe="*") for name, value in parameters.items()}
    host, port = parameters.get("host", ""), parameters.get("port", "")
    plain = not re.search(r"[,/@]", host) and "," not in port and host != ""
    query = {name: value for name, value in text.items() if name not in _PLACE}
    if not plain:
        query |= {name: text[name] for name in ("host", "port") if name in text}
    user = text.get("user", "") + (f":{text['password']}" if "password" in text else "")
    place = f"[{host}]" if ":" in host else host
    return "".join(
        [
            "postgresql+psycopg2://",
            f"{user}@" if user else "",
            f"{place}{f':{port}' if port else ''}" if plain else "",
            f"/{text['dbname']}",
            "?" * bool(query),
            "&".join(f"{name}={value}" for name, value in query.items()),
        ]
    )
