"""A database as docs/operations.md has a superuser make it: one user owns it and migrates, another one runs."""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg2

from tools.stack.postgres import Postgres

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
PASSWORDS = {"order_owner": "hidden-1", "order_service": "hidden-2", "order_operator": "hidden-3"}
_DOCUMENTED: Mapping[str, str] = {"'one'": "'hidden-1'", "'another'": "'hidden-2'", "'a third'": "'hidden-3'"}


def documented() -> list[str]:
    """What the document has a superuser do: to make users and database, and to take operators' rights back."""
    return re.findall(r"```sql\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)


def run(url: str, *statements: str) -> None:
    """Run the statements, each in its own transaction."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def made_as_documented(postgres: Postgres) -> Iterator[str]:
    """Yield the name of a new, empty database with its users, whose passwords are PASSWORDS."""
    name = f"test_{uuid4().hex}"
    found, _ = documented()
    for written, password in _DOCUMENTED.items():
        found = found.replace(written, password)
    once, _, inside = found.replace("order_db", name).partition("-- In ")
    run(postgres.url("postgres"), *once.strip().splitlines())
    run(postgres.url(name), inside.partition("\n")[2])
    yield name
    postgres.drop_database(name)
    run(postgres.url("postgres"), *(f"DROP ROLE {user}" for user in PASSWORDS))
