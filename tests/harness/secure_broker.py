"""One Apache Kafka with TLS, SASL and ACLs: a listener for each way in, and one in plain text for the tests themselves.

Nobody may do anything without an ACL, but for the plain listener's ANONYMOUS, who is a super user.
"""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import trustme
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.harness.certificates import bundle, issue, write
from tests.harness.stack import FaultBroker
from tests.harness.waiting import until
from tools.stack.ports import free_port

USER = "orders"
PASSWORD = "first-password"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
LISTENERS = {
    "TLS": ("SSL", "localhost"),
    "MUTUAL": ("SSL", "localhost"),
    "LOGIN": ("SASL_SSL", "localhost"),
    "OPEN": ("SASL_PLAINTEXT", "localhost"),
    "EXPIRED": ("SSL", "localhost"),
    "MISNAMED": ("SSL", "localhost"),
}
"""By name, the protocol, and the host that the broker advertises: a name, where 127.0.0.1 is what it listens on."""
ALL = "*"
_MODULES = "org.apache.kafka.common.security"


class SecureBroker(FaultBroker):
    """Its certificates are in `folder`; `ca` signs them."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        super().__init__(folder, port)
        self.ca = trustme.CA()
        self.ports = {name: free_port() for name in LISTENERS}
        self.ca_file = self.folder / "ca.pem"
        self.extra: dict[str, object] = {}

    def address(self, listener: str) -> str:
        """Return the listener as KAFKA_BOOTSTRAP_SERVERS takes it."""
        return f"localhost:{self.ports[listener]}"

    def way(self, listener: str) -> dict[str, str]:
        """Return the service's settings to come in by the listener, without those of a login."""
        protocol = LISTENERS[listener][0]
        trust = {"KAFKA_SSL_CA_FILE": str(self.ca_file)} if protocol.endswith("SSL") else {}
        return {"KAFKA_BOOTSTRAP_SERVERS": self.address(listener), "KAFKA_SECURITY_PROTOCOL": protocol, **trust}

    def login(self, folder: Path, mechanism: str = "SCRAM-SHA-512", listener: str = "LOGIN") -> dict[str, str]:
        """Return the service's settings to log in as USER; its password is in `folder`/password."""
        write(folder / "password", f"{PASSWORD}\n".encode())
        login = {"KAFKA_SASL_USERNAME": USER, "KAFKA_SASL_PASSWORD_FILE": str(folder / "password")}
        return {**self.way(listener), **login, "KAFKA_SASL_MECHANISM": mechanism}

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """A client that may do everything."""
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as client:
            yield client

    def set_password(self, password: str, user: str = USER) -> None:
        """Give a user a password for SCRAM-SHA-512, another one where there is one."""
        made = UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_512, password)
        with self.admin() as client:
            assert client.alter_user_scram_credentials([made]) == {user: None}

    def use_certificate(self, listener: str, ca: trustme.CA) -> None:
        """Have a listener use a new certificate of the CA; returns when it does."""
        place = ("localhost", self.ports[listener])
        before = ssl.get_server_certificate(place)
        self._write_certificate(listener, ca)
        key = f"listener.name.{listener.lower()}.ssl.keystore.location"
        changed = ConfigResource(ConfigResourceType.BROKER, "1", {key: str(self._store(listener))})
        with self.admin() as client:
            client.alter_configs([changed], raise_on_unknown=False)
        until(lambda: ssl.get_server_certificate(place) != before, "the new certificate")

    def grant(self, *rights: ACL) -> None:
        """Add these rights."""
        with self.admin() as client:
            client.create_acls(list(rights))

    def revoke_all(self, user: str = USER) -> None:
        """Take all rights of a user away."""
        everything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
        with self.admin() as client:
            client.delete_acls([ACLFilter(f"User:{user}", None, ACLOperation.ANY, ACLPermissionType.ANY, everything)])

    def grant_all(self, user: str = USER) -> None:
        """Let the user do everything."""
        self.grant(*(right(kind, ALL, ACLOperation.ALL, user) for kind in (ResourceType.TOPIC, ResourceType.GROUP)))
        self.grant(right(ResourceType.CLUSTER, "kafka-cluster", ACLOperation.ALL, user))

    def _store(self, listener: str) -> Path:
        return self.folder / f"{listener.lower()}.pem"

    def _write_certificate(self, listener: str, ca: trustme.CA) -> None:
        names = ("other.example",) if listener == "MISNAMED" else ("localhost", "127.0.0.1")
        issue(ca, *names, expired=listener == "EXPIRED").write_both(self._store(listener))

    def _settings(self) -> Mapping[str, object]:
        inherited = dict(super()._settings())
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self.ports.items())
        told = ",".join(f"{name}://{LISTENERS[name][1]}:{port}" for name, port in self.ports.items())
        kinds = ",".join(f"{name}:{protocol}" for name, (protocol, _) in LISTENERS.items())
        inherited["listeners"] = f"{inherited['listeners']},{listeners}"
        inherited["advertised.listeners"] = f"{inherited['advertised.listeners']},{told}"
        inherited["listener.security.protocol.map"] = f"{inherited['listener.security.protocol.map']},{kinds}"
        return inherited | dict(self._tls_settings()) | dict(_login_settings()) | self.extra

    def _tls_settings(self) -> Iterator[tuple[str, object]]:
        write(self.ca_file, bundle(self.ca))
        for listener, (protocol, _) in LISTENERS.items():
            if not protocol.endswith("SSL"):
                continue
            self._write_certificate(listener, self.ca)
            prefix = f"listener.name.{listener.lower()}.ssl"
            yield f"{prefix}.keystore.type", "PEM"
            yield f"{prefix}.keystore.location", self._store(listener)
            yield f"{prefix}.truststore.type", "PEM"
            yield f"{prefix}.truststore.location", self.ca_file
        yield "listener.name.mutual.ssl.client.auth", "required"
        yield "listener.name.mutual.ssl.principal.mapping.rules", "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT"

    def _prepare(self) -> list[str]:
        command = super()._prepare()
        with Path(command[-1]).open("a") as properties:  # the last line of a name counts
            properties.write("allow.everyone.if.no.acl.found=false\nsuper.users=User:ANONYMOUS\n")
        return command

    def _format_options(self) -> Sequence[str]:
        quoted = f"[name={USER},password={PASSWORD}]"
        return [part for name in ("256", "512") for part in ("--add-scram", f"SCRAM-SHA-{name}={quoted}")]


def _login_settings() -> Iterator[tuple[str, object]]:
    yield "sasl.enabled.mechanisms", ",".join(MECHANISMS)
    for listener in ("login", "open"):
        modules = {
            "plain": f'plain.PlainLoginModule required user_{USER}="{PASSWORD}"',
            "scram-sha-256": "scram.ScramLoginModule required",
            "scram-sha-512": "scram.ScramLoginModule required",
            "oauthbearer": 'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker"',
        }
        for mechanism, module in modules.items():
            yield f"listener.name.{listener}.{mechanism}.sasl.jaas.config", f"{_MODULES}.{module};"


def right(kind: ResourceType, name: str, operation: ACLOperation, user: str = USER) -> ACL:
    """Return the right of the user to do that with one resource, from anywhere."""
    return ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, name))
