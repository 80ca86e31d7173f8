"""The limits that depend on each other leave room for each other."""

import pytest

from app.config.config import Settings
from app.database import groups
from app.database.jobs import CALL_SECONDS
from app.server import worker
from app.services import horizon, housekeeping, jobs
from app.utils import health_check
from app.utils.limits import (
    ACKNOWLEDGE_SECONDS,
    ALARM_LEASE_SECONDS,
    ALARM_LOOK_SECONDS,
    ALARM_RENEW_SECONDS,
    ASKING_SECONDS,
    BATCH_SECONDS,
    CALLER_SECONDS,
    CONNECT_SECONDS,
    CONTRACT_SECONDS,
    IDLE_MS,
    KEY_SECONDS,
    LEASE_CALL_SECONDS,
    LEASE_RENEW_SECONDS,
    LEASE_SECONDS,
    LEEWAY_MS,
    LOCK_MS,
    POOL_SECONDS,
    PRODUCER_DELIVERY_MS,
    PRODUCER_REQUEST_MS,
    PULSE_ASK_MS,
    PULSE_SECONDS,
    RELAY_FAILING_SECONDS,
    RELAY_STOP_SECONDS,
    REQUEST_SECONDS,
    SHOWN_SECONDS,
    SILENT_MS,
    STATEMENT_MS,
    TELL_SECONDS,
    THREADS_STOP_SECONDS,
    WATCH_LEASE_SECONDS,
    WATCH_LOOK_SECONDS,
    WATCH_STALE_SECONDS,
    WORKER_SILENT_SECONDS,
    WORKER_STATEMENT_MS,
)

SETTINGS = Settings.load({})
SILENT_SECONDS = PULSE_SECONDS + (SILENT_MS + PULSE_ASK_MS) / 1000  # a broker that freezes is silent for so long
BALANCER_SECONDS = 600  # the longest that load balancers keep an idle connection by default


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(
            (POOL_SECONDS, KEY_SECONDS, STATEMENT_MS / 1000, REQUEST_SECONDS, CONTRACT_SECONDS, CALLER_SECONDS),
            id="request",
        ),
        pytest.param((LOCK_MS / 1000, STATEMENT_MS / 1000), id="lock"),
        pytest.param((KEY_SECONDS + ASKING_SECONDS, STATEMENT_MS / 1000), id="duplicate"),
        pytest.param((STATEMENT_MS / 1000 + LEEWAY_MS / 1000, REQUEST_SECONDS), id="leeway"),
        pytest.param(
            (CONNECT_SECONDS, REQUEST_SECONDS, REQUEST_SECONDS + CONNECT_SECONDS / 2, CONTRACT_SECONDS), id="connect"
        ),
        pytest.param((REQUEST_SECONDS + groups.LATE_SECONDS, CONTRACT_SECONDS), id="group"),
        pytest.param((LEASE_RENEW_SECONDS, LEASE_SECONDS, IDLE_MS / 1000, LEASE_CALL_SECONDS), id="lease"),
        pytest.param(
            (PRODUCER_REQUEST_MS / 1000, PRODUCER_DELIVERY_MS / 1000, RELAY_FAILING_SECONDS, ACKNOWLEDGE_SECONDS),
            id="send",
        ),
        pytest.param((WORKER_STATEMENT_MS / 1000, BATCH_SECONDS), id="batch"),
        pytest.param((ALARM_LOOK_SECONDS, ALARM_RENEW_SECONDS, ALARM_LEASE_SECONDS / 2), id="alarm"),
        pytest.param((SILENT_SECONDS + ALARM_LOOK_SECONDS, SHOWN_SECONDS), id="broker away"),
        pytest.param(
            (horizon.FORGOTTEN_SECONDS + housekeeping.HORIZON_SECONDS + ALARM_LOOK_SECONDS, SHOWN_SECONDS),
            id="held snapshot",
        ),
        pytest.param((2 * WATCH_LOOK_SECONDS, SHOWN_SECONDS), id="two looks"),
        pytest.param((TELL_SECONDS, ALARM_LOOK_SECONDS), id="tell"),
        pytest.param((WATCH_LOOK_SECONDS, WATCH_LEASE_SECONDS, WATCH_STALE_SECONDS), id="watch"),
        pytest.param(
            (jobs.RENEW_SECONDS, CALL_SECONDS, jobs.LEAVE_SECONDS, jobs.LEASE_SECONDS, THREADS_STOP_SECONDS), id="job"
        ),
        pytest.param((RELAY_STOP_SECONDS, THREADS_STOP_SECONDS, SETTINGS.graceful_timeout), id="stop"),
        pytest.param((worker.BEAT_SECONDS, WORKER_SILENT_SECONDS / 10), id="worker"),
        pytest.param((BALANCER_SECONDS, SETTINGS.keep_alive_seconds), id="idle connection"),
    ],
)
def test_each_limit_leaves_room_for_the_next(limits: tuple[float, ...]) -> None:
    assert list(limits) == sorted(set(limits))


def test_the_health_check_waits_as_long_as_the_contract_says() -> None:
    assert health_check.ANSWER_SECONDS == CONTRACT_SECONDS  # a file that imports nothing
