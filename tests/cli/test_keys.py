"""`keys`: who may call, made, changed over and revoked by a person."""

import hashlib
from collections.abc import Callable

import pytest

from app.models.api_keys import MOST_VALID, id_in
from app.models.callers import Caller, Scope
from app.models.operator_errors import NotPossible
from app.operations import keys
from app.operations.audit import Operator
from app.wire import key_file
from tests.harness.builders import at_once
from tests.harness.terminal import Terminal
from tests.harness.world import World

Make = Callable[[World], Terminal]

READ_AND_WRITE = ("--scope", "orders:write", "--scope", "orders:read")


def test_a_key_is_shown_once_and_only_its_hash_is_stored(untouched: World, terminal: Make) -> None:
    made = terminal(untouched).json("keys", "create", "front end", *READ_AND_WRITE, "--as", "alice")
    assert id_in(made["key"]) == made["id"]
    assert (made["name"], made["scopes"], made["others"]) == ("front end", ["orders:read", "orders:write"], [])
    [(stored, scopes, by)] = untouched.query("SELECT hash, scopes, created_by FROM api_keys")
    assert bytes(stored) == hashlib.sha256(made["key"].encode()).digest()
    assert (scopes, by) == ("orders:read,orders:write", "alice")
    assert key_file.parse(made["line"])[0].digest == bytes(stored)
    assert made["key"] not in terminal(untouched).prints("keys", "list", "--json")
    lines = untouched.query("SELECT who, action, subject, detail FROM operator_actions")
    assert lines == [("alice", "create-key", f"API key {made['id']}", "front end: orders:read,orders:write")]


def test_a_name_has_two_valid_keys_and_no_third(untouched: World, terminal: Make) -> None:
    run = terminal(untouched)
    first = run.json("keys", "create", "saga", *READ_AND_WRITE, "--expires-days", "90")
    second = run.json("keys", "rotate", "saga")
    assert (second["scopes"], second["others"]) == (first["scopes"], [first["id"]])
    assert (first["expires_at"] is None, second["expires_at"]) == (False, None)
    refused = run.refusal("keys", "rotate", "saga")
    assert refused.strip() == f"saga has 2 valid keys, {second['id']} and {first['id']}: revoke one first."
    assert run.refusal("keys", "create", "saga", "--scope", "operator") == refused
    run.prints("keys", "revoke", first["id"])
    assert f"The key {second['id']} is valid too" in run.prints("keys", "rotate", "saga")
    assert [line[1] for line in run.audit()] == ["create-key", "rotate-key", "revoke-key", "rotate-key"]


def test_two_people_at_once_make_no_third_key(untouched: World) -> None:
    operator = Operator(untouched.settings(), "test")
    keys.create(operator, "saga", {Scope.READ})

    def rotate() -> bool:
        try:
            keys.rotate(operator, "saga")
        except NotPossible:
            return False
        return True

    assert sorted(at_once([rotate] * 4)) == [False, False, False, True]


def test_there_is_a_most_of_valid_keys(untouched: World, terminal: Make) -> None:
    untouched.query(
        "INSERT INTO api_keys (id, name, hash, scopes, created_by) "
        "SELECT lpad(i::text, 12, '0'), 'name ' || i, sha256(i::text::bytea), 'operator', 'test' "
        "FROM generate_series(1, %s) AS i RETURNING 1",
        (MOST_VALID,),
    )
    refused = terminal(untouched).refusal("keys", "create", "saga", *READ_AND_WRITE)
    assert refused == "There are 1000 valid keys, and no more are possible: revoke some first."


def test_an_expired_key_counts_no_more(untouched: World, terminal: Make) -> None:
    run = terminal(untouched)
    for _ in range(2):
        run.json("keys", "create", "saga", *READ_AND_WRITE)
    untouched.query("UPDATE api_keys SET expires_at = now() RETURNING 1")
    assert run.json("keys", "list")["keys"] == []
    assert len(run.json("keys", "list", "--ended")["keys"]) == 2
    assert run.refusal("keys", "rotate", "saga").strip() == "saga has no valid key: create one."
    run.json("keys", "create", "saga", *READ_AND_WRITE)


def test_a_revoked_key_stays_revoked(untouched: World, terminal: Make) -> None:
    run = terminal(untouched)
    made = run.json("keys", "create", "saga", *READ_AND_WRITE)
    assert run.prints("keys", "revoke", made["id"]).strip() == f"Key {made['id']} of saga is revoked."
    assert "was revoked at" in run.refusal("keys", "revoke", made["id"])
    assert "There is no key nobody" in run.refusal("keys", "revoke", "nobody")
    [key] = run.json("keys", "list", "--ended")["keys"]
    assert (key["id"], key["revoked_at"] is None) == (made["id"], False)


def test_a_line_for_the_file_needs_no_database(untouched: World, terminal: Make) -> None:
    made = terminal(untouched).json("keys", "line", "front end", "--scope", "operator")
    [key] = key_file.parse(made["line"])
    assert key.caller == Caller("front end", frozenset({Scope.OPERATOR}))
    assert key.digest == hashlib.sha256(made["key"].encode()).digest()
    assert untouched.count("api_keys") == 0
    assert terminal(untouched).audit() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "x" * 256, "--scope", "operator"),
        ("create", "a\nb", "--scope", "operator"),
        ("create", "a"),
        ("create", "a", "--scope", "all"),
        ("create", "a", "--scope", "operator", "--expires-days", "0"),
    ],
)
def test_what_cannot_be_a_key_is_refused(untouched: World, terminal: Make, arguments: tuple[str, ...]) -> None:
    assert terminal(untouched).run("keys", *arguments).exit_code == 2
    assert untouched.count("api_keys") == 0
