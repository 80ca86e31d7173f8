"""An instance of the service: the product's own consumer, relay and HTTP use cases, wired to the simulated servers."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from kafka.errors import KafkaError

from app.config.config import Settings
from app.database import lanes
from app.database.answers import AnswerStore
from app.database.batches import BatchStore
from app.database.lane_lease import acquire_lease
from app.database.orders import OrderStore
from app.database.pages import PageStore
from app.database.refused_accepts import RefusedAccepts
from app.kafka.command_trouble import Breaker
from app.kafka.consumer import CommandConsumer
from app.kafka.read_back import RING_SECONDS
from app.kafka.relay import Relay
from app.kafka.relay_ports import SendFailed
from app.models.errors import DatabaseTrouble, OutcomeUnknown, ServiceTrouble
from app.models.outgoing import LeaseLost
from app.models.rules import Change, Decision
from app.models.writes import ChangeSource, HttpAnswer
from app.services.command_service import CommandService
from app.services.consumer_thread import RECHECK_SECONDS
from app.services.order_service import OrderService, RequestContext
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.wire.answers import AnswerForm
from tests.simulation.clients import Database, Pool
from tests.simulation.database import Server
from tests.simulation.kafka import Broker, CommandTopic, EventTopic
from tests.simulation.load import START, Request
from tests.simulation.scheduler import Instance, Scheduler
from tests.simulation.statements import Effect

RELAY_BATCH = 3
SETTLE_SECONDS = Settings.load({}).relay_settle_ms / 1000
IDENTITY_DAYS = 30
LOOK_SECONDS = 0.7  # between two looks of an idle relay
BACK_OFF_SECONDS = 1.0
REFUSED_ACCEPT_SECONDS = 15
FOR_EVER = 1_000_000.0

TROUBLE = (DatabaseTrouble, KafkaError, LeaseLost, SendFailed)
"""What may end the work of a thread; the supervisor starts it again. Anything else is a fault of ours."""

DONE, NOT_DONE, UNKNOWN = "done", "not done", "unknown"


class Stop(threading.Event):
    """Never set; a wait for it takes simulated time."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def wait(self, timeout: float | None = None) -> bool:
        """Go on `timeout` seconds later."""
        self._scheduler.sleep(timeout or 0.0)
        return False


class Quiet(Alarms):
    """Nothing that these stories tell is for a person but a follower that stands still: any other alarm is a fault."""

    def __init__(self, scheduler: Scheduler, broker: Broker) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._broker = broker

    def ring(self, name: str, sentence: str, evidence: str = "") -> None:
        """Raise an alarm, and have it reported."""
        super().ring(name, sentence, evidence)
        hindered_until = self._broker.still_until + SETTLE_SECONDS + RING_SECONDS
        if name.startswith("events_partition_") and self._scheduler.now < hindered_until:
            return
        self._scheduler.surprises.append(f"alarm {name} on {self._scheduler.instance.name}: {sentence}")


class Service:
    """One instance, which works until the story ends."""

    def __init__(self, instance: Instance, server: Server, broker: Broker, effects: Mapping[str, Effect]) -> None:
        self.outcomes: dict[str, str] = {}
        self._instance = instance
        self._server = server
        self._broker = broker
        self._effects = effects
        self._scheduler = server.scheduler
        self._alarms = Quiet(self._scheduler, broker)

    def start(self, requests: list[Request]) -> None:
        """Start its threads; the HTTP door is called as `requests` say."""
        self._actor("consumer", self._consume)
        self._actor("relay", self._relay)
        if requests:
            waiting = sorted(requests, key=lambda request: request.time)
            self._actor("http", partial(self._answer, waiting))

    def _actor(self, name: str, work: Callable[[], None]) -> None:
        self._scheduler.actor(name, self._instance, work, TROUBLE)

    def _consume(self) -> None:
        """As KafkaService does it."""
        store = BatchStore(self._pool(), IDENTITY_DAYS)
        topic, service = CommandTopic(self._broker), CommandService(store, self._clock)
        consumer = CommandConsumer(topic, store, service, self._alarms, Breaker(), IDENTITY_DAYS)
        next_recheck = self._scheduler.now + RECHECK_SECONDS
        try:
            while True:
                try:
                    consumer.step()
                    if self._scheduler.now > next_recheck:
                        next_recheck = self._scheduler.now + RECHECK_SECONDS
                        consumer.recheck_offsets()
                except ServiceTrouble as trouble:  # nothing that these stories break is ours
                    self._scheduler.surprises.append(f"the service's own trouble: {trouble}")
                    raise
                except DatabaseTrouble as trouble:
                    self._scheduler.note(f"commands wait: {trouble!r}")
                    self._scheduler.sleep(BACK_OFF_SECONDS)
        finally:
            topic.close()

    def _relay(self) -> None:
        database: Any = Database(self._server, self._effects)  # a scripted one
        acquire = partial(acquire_lease, database, lanes.EVENTS, "order_events", RELAY_BATCH)
        relay = Relay("events", acquire, self._open_events, self._alarms, 0.0, SETTLE_SECONDS, 0, self._seconds)
        relay.run(Stop(self._scheduler), lambda: self._scheduler.sleep(LOOK_SECONDS))

    @contextmanager
    def _open_events(self) -> Iterator[EventTopic]:
        yield EventTopic(self._broker)

    def _answer(self, waiting: list[Request]) -> None:
        pool = self._pool()
        answers = AnswerStore(pool)
        orders = OrderStore(pool, answers)
        refused = RefusedAccepts(pool, answers, REFUSED_ACCEPT_SECONDS)
        pages = PageStore(pool, pool)
        service = OrderService(orders, pages, answers, refused, lambda: None, self._clock)
        while waiting:
            self._scheduler.sleep(max(waiting[0].time - self._scheduler.now, 0.0))
            request = waiting.pop(0)
            self.outcomes[request.correlation_id] = UNKNOWN  # and stays so when we crash
            self.outcomes[request.correlation_id] = outcome = _outcome(service, request)
            self._scheduler.note(f"{request.correlation_id} ({request.command}) is {outcome}")
        self._scheduler.sleep(FOR_EVER)

    def _pool(self) -> Any:  # a scripted Pool
        return Pool(self._server, self._effects)

    def _seconds(self) -> float:
        return self._scheduler.now

    def _clock(self) -> datetime:
        return START + timedelta(seconds=self._scheduler.now)


def _outcome(service: OrderService, request: Request) -> str:
    source = ChangeSource("http", request.correlation_id)
    context = RequestContext(source, Deadline(FOR_EVER), None, _TellsChanges("", ""))
    try:
        answer = service.execute(request.command, context)
    except OutcomeUnknown:
        return UNKNOWN
    except DatabaseTrouble:
        return NOT_DONE
    return DONE if answer.status == 201 else NOT_DONE


class _TellsChanges(AnswerForm):
    """201 for a change: this caller wants to know whether there was one."""

    def answer(self, decision: Decision) -> HttpAnswer:
        return HttpAnswer(201 if isinstance(decision, Change) else 200, b"")
