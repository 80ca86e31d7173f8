"""One run: its servers in a folder of their own, its options, and the services that the case at hand has started."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import psutil

from tests.benchmarks.before import Before, check_out
from tests.benchmarks.database import Database
from tests.benchmarks.servers import Peer, SeenBroker, TunedPostgres
from tests.benchmarks.topics import Tail
from tests.harness.service import Instance

LARGE = "large"


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured: rounds of so many seconds, and how many orders the large table has."""

    rounds: int = 5
    seconds: float = 3.0
    orders: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Served:
    """A service at work, with the database and the topics that are its own."""

    name: str
    server: Instance | Peer
    database: Database
    events: Tail
    commands_topic: str

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    def processes(self) -> list[psutil.Process]:
        """Its processes."""
        return self.server.processes()


@dataclass
class Bench:
    """The servers of a run. What a case starts is killed when the case is over; the large table is kept."""

    folder: Path
    postgres: TunedPostgres
    broker: SeenBroker
    options: Options
    _closing: list[Callable[[], None]] = field(default_factory=list)
    _at_end: list[Callable[[], object]] = field(default_factory=list)
    _large: str | None = None
    _before: tuple[Path, Path] | None = None
    _started: int = 0

    def database(self, name: str, orders: int = 0, *statuses: str, counted: bool = True) -> Database:
        """Return a new database with so many orders. Not `counted`: without this service's triggers."""
        made = Database(self.postgres.copy_template(name))
        self._closing.append(made.close)
        if not counted:
            made.stop_counting()
        if orders:
            made.load(orders, *([statuses] if statuses else []))
        return made

    def large(self) -> Database:
        """Return the database with the large table, loaded at the first call."""
        if self._large is None:
            loaded = self.database(LARGE, self.options.orders)
            self._large = loaded.url
            return loaded
        opened = Database(self._large)
        self._closing.append(opened.close)
        return opened

    def ours(
        self, database: Database, name: str = "this service", events: Tail | None = None, **settings: str
    ) -> Served:
        """Start this service as its users do; returns when it is ready. `events`: topics of another instance."""
        return self._serve(name, database, events, Instance, settings)

    def peer(self, kind: str, database: Database) -> Served:
        """Start a peer. Raises LeftOut."""

        def make(folder: Path, named: dict[str, str]) -> Peer:
            return Peer(folder, kind, named)

        return self._serve(kind, database, None, make, {})

    def before(self, name: str) -> Served:
        """Start the version before on a database of its own, which is empty and at its head. Raises LeftOut."""
        if self._before is None:
            tree = self.folder / "before"
            self._before = tree, check_out(tree, self._at_end.append)
        tree, python = self._before

        def make(folder: Path, named: dict[str, str]) -> Before:
            return Before(folder, named, tree, python)

        made = Database(self.postgres.create_database(name))
        self._closing.append(made.close)
        return self._serve(Before.name, made, None, make, {})

    def clear(self) -> None:
        """Kill what the case has started, and close its connections."""
        while self._closing:
            self._closing.pop()()

    def end(self) -> None:
        """Clear, and take back what was made for the whole run."""
        self.clear()
        while self._at_end:
            self._at_end.pop()()

    def _serve(
        self,
        name: str,
        database: Database,
        events: Tail | None,
        make: Callable[[Path, dict[str, str]], Instance | Peer],
        extra: dict[str, str],
    ) -> Served:
        self._started += 1
        events = events or self._new_topics()
        topic = events.topic.removesuffix(".events")
        settings = {
            "DATABASE_URL": database.url,
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "KAFKA_EVENTS_TOPIC": events.topic,
            "KAFKA_COMMANDS_TOPIC": f"{topic}.commands",
            "KAFKA_DEAD_LETTER_TOPIC": f"{topic}.dlq",
            "KAFKA_GROUP_ID": topic,
        }
        server = make(self.folder / f"server-{self._started}", settings | extra)
        self._closing.append(server.kill)
        server.start()
        return Served(name, server, database, events, settings["KAFKA_COMMANDS_TOPIC"])

    def _new_topics(self) -> Tail:
        name = f"run-{self._started}"
        for kind in ("events", "commands"):
            self.broker.create_topic(f"{name}.{kind}", message_timestamp_type="LogAppendTime")
        tail = Tail(self.broker.bootstrap, f"{name}.events")
        self._closing.append(tail.close)
        return tail


@contextmanager
def new_bench(options: Options) -> Iterator[Bench]:
    """Servers of their own in a folder of their own, which is kept where something went wrong in it."""
    folder = Path(mkdtemp(prefix="benchmarks-"))
    postgres, broker = TunedPostgres(folder / "postgres"), SeenBroker(folder / "broker")
    bench = Bench(folder, postgres, broker, options)
    well = False
    try:
        postgres.start()
        broker.start()
        postgres.make_template()
        yield bench
        well = True
    finally:
        bench.end()
        broker.kill()
        postgres.kill()
        if well:
            rmtree(folder, ignore_errors=True)
        else:
            print(f"logs and data are kept in {folder}", flush=True)
