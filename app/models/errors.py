"""What can go wrong through no fault of the caller.

DatabaseTrouble         the call cannot be answered now
  DatabaseAway          the server cannot be reached, or its schema is not at head; nothing was done
    DatabaseReadOnly    the server takes no changes; nothing was done
  DatabaseBusy          a lock, a slow statement or a full disk stood in the way; nothing was done
    ConnectingTakesLong a new connection was not there in time; nothing was done
    DatabaseFull        the server has no connection to spare; nothing was done
    DatabaseFails       the server refused or failed for a reason that is not the statement's own; nothing was done
  OutcomeUnknown        the connection died in the statement, which may have been done or not
  ServiceTrouble        the service itself is at fault, whatever the command; nothing was done, and commands wait
CommandFault            a batch of commands failed through a fault that may be one command's own; nothing was done
OffsetMoved             another instance has handled the batch's records; nothing was done
"""


class DatabaseTrouble(Exception):
    """The call cannot be answered now through no fault of the caller; the sentence is fit for one.

    `reason` is for an operator: the sentence, and PostgreSQL's own where there is one; `sqlstate` is its code.
    """

    def __init__(self, sentence: str, cause: str | None = None, sqlstate: str | None = None) -> None:
        super().__init__(sentence)
        self.sqlstate = sqlstate or ""
        self.reason = sentence if cause is None else f"{sentence}: {cause}"


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


class ServiceTrouble(DatabaseTrouble):
    """The service itself is at fault, whatever the command; nothing was done, and commands wait."""


class CommandFault(Exception):
    """A batch of commands failed through a fault that may be one command's own; nothing was done.

    Raised where a command could not be decided, or where PostgreSQL refused its values (SQLSTATE class 22 or 23).
    """


class OffsetMoved(Exception):
    """The stored offset is not where the batch begins: another instance has handled these records."""
