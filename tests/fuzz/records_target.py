"""Records as a broker hands them over: bytes of a batch -> records, and past whatever cannot be read.

The first byte is the codec of the batch, the second how many records it says that it has, the third whether the rest is
packed by the codec or is what a sender says is packed. A good batch follows, and it must be reached.
"""

from kafka import TopicPartition

from app.kafka.quirks.records import records_in
from app.kafka.record_stream import KEPT_BYTES
from app.models.records import UnreadRecord, after
from tests.fuzz.checks import check_sentence
from tests.harness.batches import PACK, a_batch, a_record

PLACE = TopicPartition("order_commands", 0)
BASE = 5
MAX_COUNT = 16


def records(data: bytes) -> None:
    """Read the bytes as a batch. Raises AssertionError, or what the service would raise."""
    if len(data) < 3:
        return
    codec, count, is_packed, rest = data[0] % 8, data[1] % MAX_COUNT + 1, data[2] % 2, data[3:]
    packed = rest if is_packed or codec not in PACK else PACK[codec](rest)
    behind = BASE + count
    wire = a_batch(BASE, codec=codec, count=count, packed=packed) + a_batch(behind, a_record(0, b"good"))
    found = list(records_in(PLACE, wire, BASE))
    expected = BASE
    for record in found:
        assert record.offset >= expected
        expected = after(record)
        if isinstance(record, UnreadRecord):
            check_sentence("dead_letter", record.error)
        size = len(record.key or b"") + len(record.value or b"")
        assert size <= 2 * KEPT_BYTES
    assert found[-1].value == b"good"
    assert found[-1].offset >= behind
