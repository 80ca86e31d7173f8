"""What a fault row runs on: PostgreSQL, Apache Kafka and instances of the service with topics of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from tests.harness.service import CHECKOUT, Instance
from tools.stack.broker import Broker
from tools.stack.postgres import Postgres

SESSION_TIMEOUT_MS = 2000


class FaultBroker(Broker):
    """A broker that lets a group notice a dead consumer sooner than Kafka's own minimum of 6 s, and that knows ACLs:
    where there is none everybody may do everything."""

    def _prepare(self) -> list[str]:
        command = super()._prepare()
        with Path(command[-1]).open("a") as properties:
            properties.write("group.min.session.timeout.ms=1000\n")
            properties.write("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n")
            properties.write("allow.everyone.if.no.acl.found=true\n")
        return command


@dataclass
class Stack:
    """The parts of one run. `name` keeps topics and group apart from those of other runs on the same broker."""

    folder: Path
    postgres: Postgres
    broker: Broker
    database_url: str
    name: str = field(default_factory=lambda: f"run-{uuid4().hex[:8]}")
    instances: list[Instance] = field(default_factory=list)
    wsgi: str = "run:app"
    added: dict[str, str] = field(default_factory=dict)  # to the environment of every instance
    keep: bool = False

    @property
    def commands_topic(self) -> str:
        """Where commands go."""
        return f"{self.name}.commands"

    @property
    def events_topic(self) -> str:
        """Where events and replies come."""
        return f"{self.name}.events"

    @property
    def dead_letter_topic(self) -> str:
        """Where unreadable commands come."""
        return f"{self.name}.dlq"

    @property
    def settings(self) -> dict[str, str]:
        """The environment of an instance on this stack."""
        return {
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "KAFKA_COMMANDS_TOPIC": self.commands_topic,
            "KAFKA_EVENTS_TOPIC": self.events_topic,
            "KAFKA_DEAD_LETTER_TOPIC": self.dead_letter_topic,
            "KAFKA_GROUP_ID": self.name,
            "KAFKA_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "CHECK_AT": "",  # no check begins in the middle of a run that is one itself
            **self.added,
        }

    @property
    def ports(self) -> list[int]:
        """Where the instances listen."""
        return [instance.port for instance in self.instances]

    def create_topics(self) -> None:
        """Create the three topics, where events carry the broker's time; blocks until they have leaders."""
        self.broker.create_topic(self.commands_topic)
        self.broker.create_topic(self.events_topic, message_timestamp_type="LogAppendTime")
        self.broker.create_topic(self.dead_letter_topic, max_message_bytes=16 * 1024 * 1024)

    def limit_records(self, topic: str, size: int) -> None:
        """Let the topic take records up to this size, in bytes."""
        changed = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(size)})
        with KafkaAdminClient(bootstrap_servers=self.broker.bootstrap) as admin:
            admin.alter_configs([changed])

    def instance(self, wsgi: str | None = None, ready_path: str = "/readyz", **extra: str) -> Instance:
        """Return a new instance that is not started yet."""
        folder = self.folder / f"{self.name}-{len(self.instances)}"
        made = Instance(folder, self.settings | extra, wsgi or self.wsgi, ready_path)
        self.instances.append(made)
        return made

    def start(self, count: int, **extra: str) -> list[Instance]:
        """Start so many new instances; returns when all are ready."""
        made = [self.instance(**extra) for _ in range(count)]
        for instance in made:
            instance.start()
        return made

    def operator(self, *arguments: str) -> str:
        """Run `flask orders …` as a person would and return what it prints. Raises RuntimeError with what it says."""
        command = [str(Path(sys.executable).with_name("flask")), "orders", *arguments]
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=os.environ | self.settings,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def alarms(self) -> set[str]:
        """Return the sentences of the open alarms of all instances."""
        alarms = [instance.parts()["alarms"]["open"] for instance in self.instances]
        return {sentence for opened in alarms for sentence in opened.values()}

    def read_backs(self) -> list[int]:
        """Return the records removed by each read-back of every instance."""
        return [removed for instance in self.instances for removed in instance.read_backs()]

    def kill_instances(self) -> None:
        """Leave no process of the service behind."""
        for instance in self.instances:
            instance.thaw()
            instance.kill()


@contextmanager
def new_stack(*, with_broker: bool = True, make_broker: Callable[[Path], Any] = FaultBroker) -> Iterator[Stack]:
    """Servers of their own in a folder of their own, which is kept where something went wrong in it.

    `make_broker`: what to have in place of one broker, such as a cluster.
    """
    folder = Path(mkdtemp(prefix="faults-"))
    postgres, broker = Postgres(folder / "postgres"), make_broker(folder / "broker")
    stack = Stack(folder, postgres, broker, postgres.url())
    try:
        postgres.start()
        if with_broker:
            broker.start()
            stack.create_topics()
        yield stack
    except BaseException:
        stack.keep = True
        raise
    finally:
        stack.kill_instances()
        broker.kill()
        postgres.kill()
        if stack.keep:
            print(f"logs and data are kept in {folder}")
        else:
            rmtree(folder, ignore_errors=True)
