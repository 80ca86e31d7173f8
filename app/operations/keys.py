"""API keys: who may call, and what they may do. The text of a key is returned once, and stored nowhere."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, text, update

from app.config.config import Settings
from app.models.api_keys import ID_LENGTH, ID_LETTERS, MOST_VALID, SECRET_BITS, ApiKey, digest_of, text_of
from app.models.callers import Caller, Scope
from app.models.operator_errors import NotFound, NotPossible
from app.models.service_tables import api_keys
from app.operations.audit import AuditedChange, Operator
from app.operations.transaction import select_as, transaction
from app.wire import key_file

VALID_PER_NAME = 2  # while a caller changes from one to the other
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('order_service.api_keys'))")


@dataclass(frozen=True, slots=True)
class ListedKey:
    """What is stored of a key. `scopes`: a comma list; `last_used`: the hour."""

    id: str
    name: str
    scopes: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made. `key`: its text, for its owner alone; `line`: its line for API_KEYS_FILE; `others`: the
    ids of the valid keys of that name besides."""

    id: str
    name: str
    scopes: Sequence[Scope]
    key: str = field(repr=False)
    line: str
    expires_at: datetime | None = None
    others: Sequence[str] = ()


def find(settings: Settings, *, ended: bool = False) -> list[ListedKey]:
    """Return the keys that are valid, or with `ended` those that are not any more, the newest first."""
    wanted = ~_is_valid() if ended else _is_valid()
    query = select_as(ListedKey, api_keys).where(wanted).order_by(api_keys.c.created_at.desc(), api_keys.c.id)
    with transaction(settings) as connection:
        return [ListedKey(*row) for row in connection.execute(query)]


def line(name: str, scopes: Collection[Scope]) -> NewKey:
    """Return a new key for API_KEYS_FILE. Asks no database."""
    key, made = _make(name, scopes)
    return NewKey(made.id, name, sorted(scopes), key, key_file.line_of(made))


def create(operator: Operator, name: str, scopes: Collection[Scope], days: int | None = None) -> NewKey:
    """Return a new key, valid for so many days, or until it is revoked. Raises NotPossible.

    A name has at most VALID_PER_NAME valid keys.
    """
    with operator.change("create-key") as change:
        return _add(change, name, scopes, days, _valid_ids(change.connection, name))


def rotate(operator: Operator, name: str, days: int | None = None) -> NewKey:
    """Return a second key with the scopes of the one that the name has. Raises NotFound and NotPossible.

    The first one stays valid until it is revoked.
    """
    with operator.change("rotate-key") as change:
        others = _valid_ids(change.connection, name)
        if not others:
            raise NotFound(f"{name} has no valid key: create one.")
        scopes = change.connection.scalar(select(api_keys.c.scopes).where(api_keys.c.id == others[0]))
        return _add(change, name, key_file.scopes_of(scopes or ""), days, others)


def revoke(operator: Operator, key_id: str) -> ListedKey:
    """Refuse the key from now on; every process does within seconds. Raises NotFound and NotPossible."""
    found = select_as(ListedKey, api_keys).where(api_keys.c.id == key_id)
    with operator.change("revoke-key") as change:
        row = change.connection.execute(found.with_for_update()).first()
        if row is None:
            raise NotFound(f"There is no key {key_id}. One of API_KEYS_FILE is revoked by taking out its line.")
        if row.revoked_at is not None:
            raise NotPossible(f"Key {key_id} of {row.name} was revoked at {row.revoked_at:%Y-%m-%d %H:%M:%S} UTC.")
        change.connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=func.now()))
        change.record(f"API key {key_id}", f"{row.name}: {row.scopes}")
        return ListedKey(*change.connection.execute(found).one())


def _add(
    change: AuditedChange, name: str, scopes: Collection[Scope], days: int | None, others: Sequence[str]
) -> NewKey:
    if len(others) >= VALID_PER_NAME:
        raise NotPossible(f"{name} has {len(others)} valid keys, {' and '.join(others)}: revoke one first.")
    if change.connection.execute(select(func.count()).where(_is_valid())).scalar_one() >= MOST_VALID:
        raise NotPossible(f"There are {MOST_VALID} valid keys, and no more are possible: revoke some first.")
    key, made = _make(name, scopes)
    row: dict[str, Any] = {
        "id": made.id,
        "name": name,
        "hash": made.digest,
        "scopes": ",".join(sorted(scopes)),
        "created_by": change.who,
        "expires_at": None if days is None else func.now() + func.make_interval(0, 0, 0, days),
    }
    expires_at = change.connection.scalar(api_keys.insert().values(row).returning(api_keys.c.expires_at))
    ends = f", until {expires_at:%Y-%m-%d %H:%M:%S} UTC" if expires_at else ""
    change.record(f"API key {made.id}", f"{name}: {row['scopes']}{ends}")
    return NewKey(made.id, name, sorted(scopes), key, key_file.line_of(made), expires_at, others)


def _make(name: str, scopes: Collection[Scope]) -> tuple[str, ApiKey]:
    key_id = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
    key = text_of(key_id, secrets.randbits(SECRET_BITS))
    return key, ApiKey(key_id, digest_of(key), Caller(name, frozenset(scopes)))


def _valid_ids(connection: Connection, name: str) -> list[str]:
    """Return the ids of the valid keys of a name, the newest first; nobody makes another one until the commit."""
    connection.execute(_ONE_AT_A_TIME)
    query = select(api_keys.c.id).where(api_keys.c.name == name, _is_valid()).order_by(api_keys.c.created_at.desc())
    return list(connection.scalars(query))


def _is_valid() -> ColumnElement[bool]:
    return api_keys.c.revoked_at.is_(None) & or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.now())
