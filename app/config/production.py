"""What is not safe in production: who may call, and the ways to PostgreSQL and Kafka.

A way within the machine needs no encryption: a socket, a loopback address.
"""

from ipaddress import ip_address
from typing import TYPE_CHECKING

from app.config.kafka_security import has_tls
from app.database.url import hosts_of, sslmode_of

if TYPE_CHECKING:
    from app.config.config import Settings


def insecurities(settings: "Settings", *, answers_callers: bool = True) -> list[str]:
    """Return a sentence for each, which names the variable; none with APP_ENV=development.

    `answers_callers`: whether this program does; a command of an operator does not.
    """
    if settings.app_env != "production":
        return []
    found = []
    if answers_callers and not settings.asks_who_calls:
        found.append("AUTH_MODE must not be off in production: whoever reaches the port could change every order")
    if answers_callers and settings.console_mode == "rw" and not settings.asks_who_calls:
        found.append("CONSOLE must not be rw in production while AUTH_MODE is off: whoever reaches the port could act")
    for variable, url in (
        ("DATABASE_URL", settings.database_url),
        ("WORKER_DATABASE_URL", settings.worker_database_url),
    ):
        far = [host for host in hosts_of(url) if not _is_here(host)] if url else []
        if far and sslmode_of(url) != "verify-full":
            found.append(f"{variable} must have sslmode=verify-full in production: {', '.join(far)} is not verified")
    far = [server for server in settings.bootstrap_servers if not _is_here(server.rpartition(":")[0])]
    if far and not has_tls(settings):
        found.append(
            "KAFKA_SECURITY_PROTOCOL must be SSL or SASL_SSL in production: "
            f"{', '.join(far)} of KAFKA_BOOTSTRAP_SERVERS is reached in plain text"
        )
    return found


def _is_here(host: str) -> bool:
    """Tell whether the host is this machine, without asking anybody."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
