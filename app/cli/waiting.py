"""What keeps commands waiting, as the broker tells it at the moment: the watch's looks, once, without the service."""

import time

from kafka.errors import KafkaError

from app.cli.consistency import Finding
from app.cli.offsets import Stored
from app.config.config import Settings
from app.kafka.broker_view import KafkaView, TopicView
from app.kafka.commands_lag import CommandsLag
from app.kafka.topics_check import judge, our_topics, strangers


def findings(settings: Settings, stored: Stored, late: int) -> list[Finding]:
    """Return what is wrong. Blocks for some seconds; raises KafkaError where no broker answers.

    A topic that is missing is none of it: the service makes it.
    """
    view = KafkaView(settings)
    try:
        topics = view.topics(list(our_topics(settings)))
        found = [Finding(name, 1, sentence, ()) for name, sentence in judge(settings, topics).alarms().items()]
        found = [finding for finding in found if finding.check != "topics_missing"]
        try:
            foreign = strangers(view.members(settings.commands_topic))
        except KafkaError:
            foreign = None
        if foreign is not None:
            found.append(Finding("foreign_member", 1, foreign, ()))
        topic = topics.get(settings.commands_topic)
        return found + (_late(settings, view, topic, stored, late) if topic is not None and topic.leaders else [])
    finally:
        view.close()


def _late(settings: Settings, view: KafkaView, topic: TopicView, stored: Stored, late: int) -> list[Finding]:
    positions = {partition: (it.topic_id, it.next_offset) for partition, it in stored.items()}
    examples = []
    for partition, waiting in CommandsLag(settings.commands_topic, view).look(topic, positions).items():
        if waiting.first is None:
            continue
        try:
            record = view.first_record(settings.commands_topic, partition, waiting.first)
        except KafkaError:
            continue
        if record.offset is not None and (record.timestamp or 0) / 1000 < time.time() - late:
            examples.append(f"{settings.commands_topic}/{partition} at {record.offset}")
    sentence = f"A command has waited to be handled for over {late} s, by its own time"
    return [Finding("late_command", len(examples), sentence, tuple(examples))] if examples else []
