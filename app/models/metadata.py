"""What the tables share: one metadata, the names of their constraints, a column."""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, DateTime, MetaData, func

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "%(table_name)s_pkey",
}

db = SQLAlchemy(metadata=MetaData(naming_convention=NAMING_CONVENTION))


def created_at() -> Column[object]:
    """Return the column that says when the row was written."""
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())
