"""psycopg2's errors as the service's own: what leaves this room is a class of app/models/errors.py."""

import psycopg2

from app.database.rights import wanted_by
from app.models.errors import (
    DatabaseAway,
    DatabaseBusy,
    DatabaseError,
    DatabaseFails,
    DatabaseReadOnly,
    ForeignRuleBroken,
    OutcomeUnknown,
    ValuesRefused,
)
from app.models.models import db

STALE_PLAN = ("0A000", "26000")
NO_RIGHT = "42501"
THEIR_RULE = "The database refuses these values by a rule that is not the service's; nothing was done"

_DEAD = ("08", "57P01", "57P02", "57P03", "40003")
_BUSY = ("55P03", "57014", "40P01", "40001", "53")
_NO_SCHEMA = ("42P01", "42703")
_VALUES = ("22", "23")
_TOO_LONG = "22001"
_READ_ONLY = "25006"


def translated(error: psycopg2.Error, *, is_lost: bool) -> DatabaseError:
    """Return the error of a statement as one of the service's. `is_lost`: its connection is closed."""
    code, cause = error.pgcode or "", told(error)
    if code == _READ_ONLY:
        return DatabaseReadOnly("The database takes no changes now; nothing was done", cause, code)
    if is_lost or code.startswith(_DEAD):
        sentence = "The database connection was lost; whether the change was made is not known"
        return OutcomeUnknown(sentence, cause, code)
    if code.startswith(STALE_PLAN):
        return DatabaseBusy("The database schema has just changed", cause, code)
    if code.startswith(_BUSY):
        return DatabaseBusy("The database is busy", cause, code)
    if code.startswith(_NO_SCHEMA):
        return DatabaseAway("The database schema is not ready yet", cause, code)
    if not code.startswith(_VALUES):
        return DatabaseFails("The database cannot do this now", cause, code)
    constraint = error.diag.constraint_name or ""
    if code == _TOO_LONG or (code.startswith("23") and constraint not in _our_rules()):
        return ForeignRuleBroken(THEIR_RULE, cause, code, constraint)
    return ValuesRefused(cause, None, code, constraint)


def told(error: psycopg2.Error) -> str:
    """Return PostgreSQL's sentence, without the details that quote values, and the SQLSTATE.

    Behind a missing right stand the lines of migrations/grants.sql that give it.
    """
    sentence = (error.diag.message_primary or str(error) or type(error).__name__).partition("\n")[0]
    return f"{sentence} (SQLSTATE {error.pgcode}){wanted_by(sentence)}" if error.pgcode else sentence


def without_values(error: psycopg2.Error) -> psycopg2.Error:
    """Return the error as a log may show it. PostgreSQL's details quote whole rows, and with them persons."""
    return type(error)(told(error)).with_traceback(error.__traceback__)


def _our_rules() -> set[str | None]:
    tables = db.metadata.tables.values()
    rules = {rule.name for table in tables for rule in table.constraints}
    return {str(name) for name in rules | {index.name for table in tables for index in table.indexes}}
