"""The exceptions that end in an answer, with the code of the contract [H1] that each is answered with.

    ServiceError
    ├── Refused                      its own code     the service does not take what the request or command says
    ├── Unauthenticated              unauthorized     the caller did not prove who they are
    ├── Forbidden                    forbidden        the caller may not do this
    ├── TokensUnverifiable           service_busy     no key is there yet that could verify a token: try again
    ├── KeyReused                    idempotency_key_reused
    ├── KeyInUse                     idempotency_key_in_use
    └── DatabaseError
        ├── ValuesRefused            internal_error   the database refused values that the service let through
        │   └── ForeignRuleBroken    database_busy    … by a rule that is not the service's
        └── DatabaseTrouble                           the call cannot be answered now: try again
            ├── DatabaseAway         database_away    the server cannot be reached, or its schema is not at head
            │   ├── DatabaseReadOnly                  the server takes no changes
            │   └── ConnectionRefused                 the server lets no new connection in, and none is free
            ├── DatabaseBusy         database_busy    a lock, a slow statement or a full disk stood in the way
            │   ├── ConnectingTakesLong               a new connection was not there in time
            │   ├── DatabaseFull                      the server has no connection to spare
            │   └── DatabaseFails                     the server failed for a reason that is not the statement's own
            ├── OutcomeUnknown       outcome_unknown  the connection died in the statement
            └── ServiceTrouble       internal_error   the service itself is at fault, whatever the command

Only OutcomeUnknown leaves open whether something was done. Callers never see the three classes below the tree: the
service turns KeyTaken into the stored answer, and the consumer handles CommandFault and OffsetMoved.
"""

from app.models.callers import Scope


class ServiceError(Exception):
    """`str()` is the sentence that a caller gets; where it is empty, the sentence of the code is used."""

    code = "internal_error"


class Refused(ServiceError):
    """The input is refused before an order is looked at, by a code of its own."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Unauthenticated(ServiceError):
    """The caller did not prove who they are. `came`: a credential came, and it is no good. Nothing of it is shown."""

    code = "unauthorized"  # the contract's word

    def __init__(self, sentence: str, *, came: bool = True) -> None:
        super().__init__(sentence)
        self.came = came


class Forbidden(ServiceError):
    """The caller lacks the scope."""

    code = "forbidden"

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"This call needs the scope {scope}")
        self.scope = scope


class TokensUnverifiable(ServiceError):
    """The identity provider has given no keys since the start, so nobody knows whether the token is good."""

    code = "service_busy"


class KeyReused(ServiceError):
    """The Idempotency-Key belongs to another body."""

    code = "idempotency_key_reused"


class KeyInUse(ServiceError):
    """A duplicate under this Idempotency-Key is still being worked on."""

    code = "idempotency_key_in_use"


class DatabaseError(ServiceError):
    """The database did not do what it was asked.

    `cause` is PostgreSQL's own sentence where there is one, `sqlstate` its code, and `reason` all that an operator
    needs to know.
    """

    def __init__(self, sentence: str, cause: str | None = None, sqlstate: str | None = None) -> None:
        super().__init__(sentence)
        self.cause = cause or sentence
        self.sqlstate = sqlstate or ""
        self.reason = sentence if cause is None else f"{sentence}: {cause}"


class ValuesRefused(DatabaseError):
    """PostgreSQL refused a statement's values: SQLSTATE class 22 or 23. `constraint`: the name of the rule, if any."""

    def __init__(self, sentence: str, cause: str | None = None, sqlstate: str = "", constraint: str = "") -> None:
        super().__init__(sentence, cause, sqlstate)
        self.constraint = constraint


class ForeignRuleBroken(ValuesRefused):
    """PostgreSQL refused a statement's values by a constraint, or a shorter column, that is not the service's."""

    code = "database_busy"


class DatabaseTrouble(DatabaseError):
    """The call cannot be answered now through no fault of the caller; the sentence is fit for one."""

    code = "database_busy"


class DatabaseAway(DatabaseTrouble):
    """The database cannot be reached, or is not at head; nothing was done."""

    code = "database_away"


class DatabaseReadOnly(DatabaseAway):
    """The database takes no changes now: a standby, or set so; nothing was done."""


class ConnectionRefused(DatabaseAway):
    """The server lets no new connection in, and the open ones are in use; nothing was done."""


class DatabaseBusy(DatabaseTrouble):
    """A lock, a slow statement or a full disk stood in the way; nothing was done."""


class ConnectingTakesLong(DatabaseBusy):
    """A new connection was not open in time, though the pool had room for it; nothing was done."""


class DatabaseFull(DatabaseBusy):
    """The server has no connection to spare; nothing was done."""


class DatabaseFails(DatabaseBusy):
    """The server refused or failed for a reason that is not the statement's own: a right, a disk; nothing was done."""


class OutcomeUnknown(DatabaseTrouble):
    """The connection died in the statement: it may have been done or not."""

    code = "outcome_unknown"


class ServiceTrouble(DatabaseTrouble):
    """The service itself is at fault, whatever the command; nothing was done, and commands wait."""

    code = "internal_error"


class KeyTaken(Exception):
    """A duplicate was faster: its answer is stored under the key. Nothing was done."""


class CommandFault(Exception):
    """A batch of commands failed through a fault that may be one command's own; nothing was done.

    Raised where a command could not be decided, or where PostgreSQL refused its values (SQLSTATE class 22 or 23).
    """


class OffsetMoved(Exception):
    """The stored offset is not where the batch begins: another instance has handled these records."""
