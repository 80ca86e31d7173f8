"""Alembic's entry: runs the migrations on the connection it is given, or on that of the settings (command line).

`alembic -x grant_to=order_service upgrade head` gives that user its rights in the same transaction.
"""

from alembic import context
from sqlalchemy import Connection

from app.config.config import from_environment
from app.database.connection import engine
from app.database.history_index import make_history_index
from app.database.rights import grant_to
from app.database.schema import VERSION_TABLE, is_at_head
from app.models.models import db


def run(connection: Connection) -> None:
    """Run the migrations in one transaction."""
    context.configure(connection=connection, target_metadata=db.metadata, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = from_environment(answers_callers=False).worker_url
    with engine(url).connect() as own:
        run(own)
        if running := context.get_x_argument(as_dictionary=True).get("grant_to"):
            grant_to(own, running)
        own.commit()
    if is_at_head(url):  # not after a downgrade
        make_history_index(url)
