"""Where a leader's log ends, asked of brokers that do not tell it as Apache Kafka does."""

import uuid
from contextlib import closing

from app.config.config import Settings
from app.kafka.event_reader import EventReader
from app.models.outgoing import LogEnd
from tests.harness.mock_broker import MockBroker
from tests.harness.world import wait_for


def test_a_leader_that_keeps_no_epochs_is_read_to_what_consumers_see() -> None:
    """As for a topic whose records have an old format; nothing would ever leave else."""
    with MockBroker() as mock:
        mock.create_topic("order_events")
        settings = Settings.load({"KAFKA_BOOTSTRAP_SERVERS": mock.bootstrap})
        with closing(EventReader(settings, "order_events", uuid.uuid4())) as reader:
            ends = wait_for(lambda: reader.leader_ends([0]), "the end of the leader's log")
            assert isinstance(ends[0], LogEnd), ends
            assert ends[0].position.next_offset == 0
