"""One seed from beginning to end: the load, the faults, the instances, and what is there when it is quiet again."""

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from unittest import mock

from app.database import lane_lease
from app.database.rows import to_row
from app.services import order_service
from tests.simulation.checks import End
from tests.simulation.database import Server
from tests.simulation.faults import ANYWHERE, AT_A_POINT, Fault, Kind, draw_faults
from tests.simulation.instances import Service
from tests.simulation.kafka import TOPIC, Broker, Fate
from tests.simulation.load import LAST_COMMAND_SECONDS, OLD_ORDER, draw_load
from tests.simulation.scheduler import Instance, Scheduler
from tests.simulation.statements import EFFECTS, Effect

LOOK_SECONDS = 1.0
CALM_SECONDS = 2.0  # for which it must stay quiet
LATEST_END_SECONDS = 120.0


class World:
    """Everything that there is in one seed."""

    def __init__(self, seed: int, effects: Mapping[str, Effect] = EFFECTS) -> None:
        """`effects`: what the statements do; others than the usual where a protection is taken out."""
        self.figures: Counter[str] = Counter()
        self.scheduler = Scheduler(seed, self._strike)
        self.broker = Broker(self.scheduler)
        self.server = Server(self.scheduler)
        chance = self.scheduler.random
        self._instances = [Instance(f"i{number}") for number in range(chance.choice((2, 2, 3)))]
        self._services = [Service(it, self.server, self.broker, effects) for it in self._instances]
        self._load = draw_load(chance, len(self._instances))
        self._faults = draw_faults(chance, len(self._instances))
        self._at_point: dict[tuple[Instance, str, float], Fault] = {}
        self._passed: Counter[tuple[Instance, str]] = Counter()
        self._quiet_since: float | None = None

    def run(self) -> End:
        """Play the story until it is quiet, or too late; return what is there then."""
        with self._patched():
            self._plan()
            self.scheduler.run()
        self.figures["steps"] = self.scheduler.points
        self.figures[Kind.ACKNOWLEDGEMENT] = self.broker.unsaid
        self.figures["times that partitions were dealt out"] = self.broker.deals
        self.figures["read-backs that removed rows"] = len(self.server.read_back)
        self.figures["rows set aside"] = self.server.set_aside
        self.figures["rows that a read-back removed"] = sum(self.server.read_back.values())
        return End(
            commands=self.broker.commands,
            events=self.broker.events,
            requests=[request.correlation_id for request in self._load.requests],
            outcomes={key: value for service in self._services for key, value in service.outcomes.items()},
            tables=self.server.tables,
            unfinished=self._unfinished(),
            surprises=self.scheduler.surprises,
        )

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """The lease's clock and new ids are the world's."""
        clock = mock.patch.object(lane_lease, "_boot_time", self._boot_time)
        with clock, mock.patch.object(order_service, "new_id", self._new_id):
            yield

    def _boot_time(self) -> float:
        return self.scheduler.now

    def _new_id(self) -> uuid.UUID:
        return uuid.UUID(int=self.scheduler.random.getrandbits(128), version=4)

    def _plan(self) -> None:
        self.server.table("orders")[OLD_ORDER.order_id] = tuple(to_row(OLD_ORDER))
        for command in self._load.commands:
            self.scheduler.at(command.time, partial(self.broker.publish, command))
        for fault in self._faults:
            self._plan_fault(fault)
        for number, service in enumerate(self._services):
            service.start([request for request in self._load.requests if request.instance == number])
        self.scheduler.at(LOOK_SECONDS, self._look)

    def _plan_fault(self, fault: Fault) -> None:
        if fault.kind in AT_A_POINT:
            self._at_point[self._instances[fault.instance], fault.place, fault.at] = fault
        elif fault.kind is Kind.ACKNOWLEDGEMENT:
            fates = self.broker.fates
            fates += [Fate.SOON] * (int(fault.at) + 1 - len(fates))
            fates[int(fault.at)] = fault.fate
        else:
            self.scheduler.at(fault.at, partial(self._strike_now, fault))

    def _strike_now(self, fault: Fault) -> None:
        self.figures[fault.kind] += 1
        if fault.kind is Kind.MOVE:
            self.broker.share_out()
        elif fault.kind is Kind.FOLLOWER:
            self.broker.stand_still(fault.seconds)
        elif fault.kind is Kind.POLL:
            self.broker.poll_fails = True
        else:
            self.server.restart(fault.seconds)

    def _strike(self, instance: Instance, label: str) -> None:
        for place in (label, ANYWHERE) if self._at_point else ():
            self._passed[instance, place] += 1
            fault = self._at_point.pop((instance, place, self._passed[instance, place]), None)
            if fault is not None:
                self._strike_at_point(fault, instance)

    def _strike_at_point(self, fault: Fault, instance: Instance) -> None:
        self.figures[fault.kind] += 1
        if fault.kind is Kind.CRASH:
            self.scheduler.crash(instance, fault.seconds)
            self.server.lose(instance)
            self.broker.expire(instance)
        elif fault.kind is Kind.FREEZE:
            self.scheduler.freeze(instance, fault.seconds)
            self.broker.expire(instance)
        else:
            self.server.cut(instance)

    def _look(self) -> None:
        """End when all is done and still is after a while."""
        now = self.scheduler.now
        if self._unfinished():
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now
        quiet = self._quiet_since is not None and now >= self._quiet_since + CALM_SECONDS
        if quiet or now >= LATEST_END_SECONDS:
            self.scheduler.end()
        self.scheduler.at(now + LOOK_SECONDS, self._look)

    def _unfinished(self) -> list[str]:
        """Return what is not at its end; sleepers must have woken up, to show what they do then."""
        now = self.scheduler.now
        offsets = self.server.table("consumer_offsets")
        unfinished = [f"{it.name} is away" for it in self._instances if max(it.frozen_until, it.down_until) > now]
        for partition, records in self.broker.commands.items():
            handled = offsets.get((TOPIC, partition), (None, 0))[1]
            if records and handled <= records[-1].offset:
                unfinished.append(f"partition {partition} is handled up to {handled} of {records[-1].offset}")
        if now < LAST_COMMAND_SECONDS:
            unfinished.append("the load")
        if rows := len(self.server.table("outbox")):
            unfinished.append(f"{rows} rows of the outbox")
        answered = sum(len(service.outcomes) for service in self._services)
        if answered < len(self._load.requests):
            unfinished.append(f"{len(self._load.requests) - answered} HTTP calls")
        return unfinished
