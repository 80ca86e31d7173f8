"""How the product reaches the simulated server: a pool like database/pool.py, a connection like psycopg2's."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from app.database.statement import Statement
from app.models.errors import DatabaseAway, DatabaseBusy, OutcomeUnknown, ValuesRefused
from tests.simulation.database import Gone, KeyExists, LockTimeout, Rows, Server, Session
from tests.simulation.statements import Effect


class Client:
    """One session, with the statements that the server knows."""

    def __init__(self, server: Server, effects: Mapping[str, Effect], idle_limit: bool = False) -> None:
        self.session = Session(server, idle_limit)
        self._effects = effects

    def execute(self, statement: Statement | str, parameters: Sequence[Any] = ()) -> Rows:
        """Run one of the product's statements. Raises psycopg2's errors."""
        name = statement if isinstance(statement, str) else statement.name
        effect = self._effects[name]
        return self.session.run(effect.__name__.strip("_"), lambda session: effect(session, parameters))

    def limit(self, deadline: object) -> None:
        """Set no limit: a wait ends by itself."""


class Pool:
    """One connection, kept until it is lost, and the errors that the product's own pool raises."""

    def __init__(self, server: Server, effects: Mapping[str, Effect]) -> None:
        self._server = server
        self._effects = effects
        self._client: Client | None = None

    def run(self, statement: Statement, parameters: Sequence[Any], deadline: object) -> Rows:
        """Run one autocommitted statement."""
        with self._borrowed() as client:
            return client.execute(statement, parameters)

    @contextmanager
    def transaction(self, deadline: object) -> Iterator[Client]:
        """Commit the body's statements together at its end, or roll back when it raises."""
        with self._borrowed() as client:
            client.session.begin()
            try:
                yield client
                client.session.commit()
            except BaseException:
                client.session.rollback()
                raise

    @contextmanager
    def _borrowed(self) -> Iterator[Client]:
        if self._client is None:
            try:
                self._client = Client(self._server, self._effects)
            except Gone as error:
                raise DatabaseAway(str(error)) from error
        try:
            yield self._client
        except Gone as error:
            self._client = None
            raise OutcomeUnknown(str(error)) from error
        except LockTimeout as error:
            raise DatabaseBusy(str(error)) from error
        except KeyExists as error:
            raise ValuesRefused(str(error), None, error.pgcode, error.diag.constraint_name) from error


class Database:
    """What acquire_lease needs of the product's Database."""

    def __init__(self, server: Server, effects: Mapping[str, Effect]) -> None:
        self._server = server
        self._effects = effects

    def connect_for_lease(self, **settings: int | str) -> "Connection":
        """Open a connection. Raises DatabaseAway."""
        try:
            return Connection(Client(self._server, self._effects, idle_limit="idle_session_timeout" in settings))
        except Gone as error:
            raise DatabaseAway(str(error)) from error


class Connection:
    """An autocommitting connection and its only cursor, as far as PostgresLease uses them."""

    def __init__(self, client: Client) -> None:
        self.description: object = None
        self.deadline: object = None  # the simulated server answers in time
        self._client = client
        self._rows: Rows = []

    @contextmanager
    def cursor(self) -> Iterator["Connection"]:
        """Return itself."""
        yield self

    def execute(self, message: str, parameters: Sequence[Any]) -> None:
        """Run the statements of a message, several of them in one transaction. Raises psycopg2's errors."""
        statements = message.split("; ")
        if len(statements) > 1:
            self._client.session.begin()
        given = iter(parameters)
        for statement in statements:
            self._rows = self._client.execute(statement, list(islice(given, statement.count("%s"))))
        if len(statements) > 1:
            self._client.session.commit()
        self.description = self._rows or None

    def fetchall(self) -> Rows:
        """Return the rows of the last statement."""
        return self._rows

    def close(self) -> None:
        """Close the session."""
        self._client.session.close()
