"""Identifiers. New ids sort by time (UUIDv7); ids of replies and of sagas' orders follow from the command's record."""

import hashlib
import uuid

import uuid_utils.compat

WITH_TIME = 7  # the version of ids that begin with the milliseconds of their making
MADE_FROM_A_PLACE = 5  # the version of the ids of replies

_REPLIES = uuid.UUID("8d2c6a0e-6f9b-5b52-9a43-3a0f0a8a7f10")  # the namespace of replies, drawn once


def new_id() -> uuid.UUID:
    """Return a new UUIDv7. Random ids (version 4) need 2.4 times the WAL on a large table."""
    return uuid_utils.compat.uuid7()


def saga_order_id(saga_id: str, timestamp_ms: int) -> str:
    """Return the order id of a saga's create, in UUIDv7's format: the same record gives the same id.

    `timestamp_ms`: the Kafka record's, in milliseconds since 1970; clipped to UUIDv7's 48 bits.
    """
    digest = int.from_bytes(hashlib.sha256(saga_id.encode()).digest(), "big")
    milliseconds = min(max(timestamp_ms, 0), (1 << 48) - 1)
    high = milliseconds << 80 | 0x7 << 76 | (digest >> 64 & 0xFFF) << 64
    return str(uuid.UUID(int=high | 0b10 << 62 | digest & ((1 << 62) - 1)))


def reply_id(topic_id: uuid.UUID, partition: int, offset: int, timestamp_ms: int) -> uuid.UUID:
    """Return the event id of the reply to the record at this offset, or of its dead letter.

    A record gets the same id however often it is handled. The timestamp tells two records at one offset apart: after a
    broker was restored from an older copy, another record may have the offset.
    """
    return uuid.uuid5(_REPLIES, f"{topic_id}/{partition}/{offset}/{timestamp_ms}")
