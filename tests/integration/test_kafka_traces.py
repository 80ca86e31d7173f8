"""A trace goes from the call or the command through the outbox into the record's header [K16]; tracing is off."""

import json

from tests.harness.world import World, a_create, an_update, details

CONTRACT = {"event_id", "type", "correlation_id", "version"}


def trace(number: int, flags: str = "01") -> str:
    return f"00-{number:032x}-{number:016x}-{flags}"


def send(world: World, command: object, *headers: str) -> None:
    named = [("traceparent", value.encode()) for value in headers]
    value = json.dumps(command).encode()
    world.wire.producer.send(world.commands, value=value, headers=named, partition=0).get(timeout=20)


def sent(world: World) -> dict[str, dict[str, str]]:
    """Return the headers of each record on the topic, by its correlation id."""
    world.settle()
    found = {row["headers"]["correlation_id"]: row["headers"] for row in world.replies()}
    assert len(found) == len(world.replies())
    return found


def test_the_record_of_a_call_has_the_calls_trace(running: World) -> None:
    """[K16] Not sampled, too; a call without one, or with a bad one, leaves the headers of [K2]."""
    client = running.apps[0].test_client()
    traces = {"sampled": trace(1), "not": trace(2, "00"), "none": None, "bad": trace(3).upper().replace("0", "X")}
    for name, value in traces.items():
        headers = {"X-Correlation-ID": name} | ({} if value is None else {"traceparent": value})
        body = {"customer_id": "ann", "order_details": details()}
        assert client.post("/createOrder", json=body, headers=headers).status_code == 201
    found = sent(running)
    assert {name: headers.get("traceparent") for name, headers in found.items()} == {
        "sampled": trace(1),
        "not": trace(2, "00"),
        "none": None,
        "bad": None,
    }
    assert found["none"].keys() == found["bad"].keys() == CONTRACT
    assert found["sampled"].keys() == CONTRACT | {"traceparent"}


def test_the_reply_to_a_command_has_the_commands_trace(running: World) -> None:
    """[K16] [K8] Also a refusal; the same bytes in another trace are no new command, so nothing is sent."""
    first, refused = a_create("saga-1"), an_update("nobody", "PLACED", saga_id="s") | {"correlation_id": "refused"}
    send(running, first, trace(1))
    send(running, first, trace(2))
    send(running, first)
    send(running, refused, trace(3, "00"))
    send(running, a_create("saga-2"))
    found = sent(running)
    traces = {name: headers.get("traceparent") for name, headers in found.items()}
    assert traces == {"saga-1": trace(1), "refused": trace(3, "00"), "saga-2": None}
    assert found["saga-2"].keys() == CONTRACT
