"""What keeps commands waiting, as the broker tells it now: the looks of the watch, once and without the service."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka.broker_view import KafkaView
from app.kafka.broker_watch import judge, our_topics, strangers
from app.kafka.commands_lag import CommandsLag, Stored
from app.kafka.security import name_of
from app.models.operator_errors import KafkaUnusable


@dataclass(frozen=True, slots=True)
class BrokerLook:
    """`alarms`: a sentence by name of what is wrong with topics and group; `late`: places of commands that wait;
    `unread`: partitions where something waits, or may wait, that no broker handed out in time."""

    alarms: dict[str, str]
    late: Sequence[str]
    unread: Sequence[str] = ()


def look_once(settings: Settings, stored: Stored, late_seconds: int) -> BrokerLook:
    """Ask the broker. Blocks for some seconds; raises KafkaUnusable: the error's name, or the client's refusal.

    A missing topic is no alarm, because the service creates it. `stored`: topic id and next offset by partition. A
    command that waits is late once its timestamp is `late_seconds` old.
    """
    view, topic_name = KafkaView(settings), settings.commands_topic
    try:
        topics = view.topics(list(our_topics(settings)))
        alarms = judge(settings, topics).alarms()
        alarms.pop("topics_missing", None)
        try:
            foreign = strangers(view.members(topic_name))
        except KafkaError:
            foreign = None
        if foreign is not None:
            alarms["foreign_member"] = foreign
        topic = topics.get(topic_name)
        if topic is None or not topic.leaders:
            return BrokerLook(alarms, ())
        waiting = CommandsLag(topic_name, view).look(topic, stored)
        before = time.time() - late_seconds
        late = [
            f"{topic_name}/{partition} at {found.record.offset}"
            for partition, found in waiting.items()
            if found.record is not None and (found.record.timestamp or 0) / 1000 < before
        ]
        return BrokerLook(
            alarms, late, [f"{topic_name}/{partition}" for partition in waiting if waiting[partition].unread]
        )
    except KafkaError as error:
        raise KafkaUnusable(name_of(error)) from None
    finally:
        view.close()
