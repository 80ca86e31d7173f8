"""What keeps the database from doing what it is asked, through no fault of the caller."""

import psycopg2


class DatabaseTrouble(Exception):
    """The call cannot be answered now through no fault of the caller; the sentence is fit for one.

    `reason` is for an operator: it has PostgreSQL's own sentence too, where there is one; `sqlstate` is its code.
    """

    def __init__(self, sentence: str, error: psycopg2.Error | None = None) -> None:
        super().__init__(sentence)
        self.sqlstate = (error.pgcode if error else None) or ""
        self.reason = sentence if error is None else f"{sentence}: {told(error)}"


class DatabaseAway(DatabaseTrouble):
    """The database cannot be reached, or is not at head; nothing was done."""


class DatabaseReadOnly(DatabaseAway):
    """The database takes no changes now: a standby, or set so; nothing was done."""


class DatabaseBusy(DatabaseTrouble):
    """A lock, a slow statement or a full disk stood in the way; nothing was done."""


class ConnectingTakesLong(DatabaseBusy):
    """A new connection was not there in time: nobody else has taken it; nothing was done."""


class DatabaseFull(DatabaseBusy):
    """The server has no connection to spare; nothing was done."""


class DatabaseFails(DatabaseBusy):
    """The server refused or failed for a reason that is not the statement's own: a right, a disk; nothing was done."""


class OutcomeUnknown(DatabaseTrouble):
    """The connection died in the statement: it may have been done or not."""


def told(error: psycopg2.Error) -> str:
    """Return PostgreSQL's sentence, without the details that quote values, and the SQLSTATE."""
    sentence = (error.diag.message_primary or str(error) or type(error).__name__).partition("\n")[0]
    return f"{sentence} (SQLSTATE {error.pgcode})" if error.pgcode else sentence
