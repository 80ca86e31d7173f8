"""Row 48: the secrets for Kafka change under load, in every order that happens."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import trustme

from tests.faults.rows import row
from tests.faults.trial import Trial
from tests.harness.certificates import bundle, issue, write
from tests.harness.secure_broker import USER, SecureBroker
from tests.harness.waiting import until

LOGIN_MS = 4_000
FOLLOW_SECONDS = 20.0  # 2 are promised; a busy machine may be late
ALARMS_SECONDS = 60.0  # an alarm whose client is gone ends when nobody renews it
TAKEN = "Kafka takes the changed files"


class StrictBroker(SecureBroker):
    """Wants a certificate and a login by password, and a new login every few seconds."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        super().__init__(folder, port)
        self.extra = {
            "listener.name.login.ssl.client.auth": "required",
            "listener.name.login.scram-sha-512.connections.max.reauth.ms": LOGIN_MS,
        }


class Secrets:
    """The service's files, and the ways in which they change."""

    def __init__(self, trial: Trial, broker: StrictBroker) -> None:
        self.trial = trial
        self.broker = broker
        self.folder = trial.stack.folder / "secrets"
        self.folder.mkdir()
        self.ca = broker.ca
        self.numbers = itertools.count(1)
        self.before: list[int] = []
        self.since = 0.0
        self.settings = broker.login(self.folder) | {
            "KAFKA_SSL_CA_FILE": str(write(self.folder / "ca", bundle(self.ca))),
            "KAFKA_SSL_CERTIFICATE_FILE": str(self.folder / "certificate"),
            "KAFKA_SSL_KEY_FILE": str(self.folder / "key"),
        }
        self.change_certificate()

    def change_password(self) -> None:
        """At the broker, which refuses the old one at the next login; later in the file, sometimes in halves."""
        password = f"password-{next(self.numbers)}"
        self.broker.set_password(password)
        self.trial.pause(0.0, 1.5 * LOGIN_MS / 1000)
        if self.trial.rng.random() < 0.5:
            write(self.folder / "password", password[:8].encode())
            self.trial.pause(0.5, 3.0)
        self._finish("password", f"{password}\n".encode())

    def change_certificate(self) -> None:
        """The key comes a moment after the certificate, so that for a moment they do not belong together."""
        own = issue(self.broker.ca, USER, common_name=USER)
        write(self.folder / "certificate", own.chain)
        self.trial.pause(0.0, 1.0)
        self._finish("key", own.key)

    def change_ca(self) -> None:
        """The service trusts both CAs, then the broker's certificate is another, then the old CA goes."""
        old, self.ca = self.ca, trustme.CA()
        self._finish("ca", bundle(old, self.ca))
        self.await_use()
        self.broker.use_certificate("LOGIN", self.ca)
        self.trial.pause(0.5, 2.0)
        self._finish("ca", bundle(self.ca))

    def _finish(self, name: str, content: bytes) -> None:
        """Write the file with which the change is complete."""
        self.before = self.taken()
        self.since = time.monotonic()
        write(self.folder / name, content)

    def await_use(self) -> float:
        """Wait until every instance uses what the files hold; return the seconds."""
        until(
            lambda: all(now > then for now, then in zip(self.taken(), self.before, strict=True)),
            "the changed files in use",
            FOLLOW_SECONDS,
        )
        return time.monotonic() - self.since

    def taken(self) -> list[int]:
        """Return how often each instance has changed over."""
        return [instance.log_text().count(TAKEN) for instance in self.trial.instances]


@row(48, "SCRAM over mutual TLS: password, certificate and CA changed under load", seconds=60.0, broker=StrictBroker)
def rotated(trial: Trial) -> None:
    """HTTP does not notice; commands and events wait for seconds at most; nothing is lost, nothing leaves twice."""
    broker = trial.stack.broker
    assert isinstance(broker, StrictBroker)
    broker.grant_all()
    secrets = Secrets(trial, broker)
    trial.stack.added |= secrets.settings
    changes: list[Callable[[], None]] = [secrets.change_password, secrets.change_certificate, secrets.change_ca]
    slowest = 0.0
    with trial.under_load():
        since = time.monotonic()
        while trial.lasts():
            for change in trial.rng.sample(changes, len(changes)):
                change()
                slowest = max(slowest, secrets.await_use())
                trial.strike()
                trial.pause(0.5, LOGIN_MS / 1000)
    trial.no_failures(since)
    trial.own(f"each change in use after {slowest:.1f} s at the longest", slowest < FOLLOW_SECONDS)
    until(lambda: not trial.stack.alarms(), "the end of the alarms", ALARMS_SECONDS)
    trial.settle()
