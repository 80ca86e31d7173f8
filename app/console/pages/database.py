"""The database: what PostgreSQL suffers from, in sentences, each with the query or command that mends it."""

from functools import partial

from flask import Response

from app.console.asked import asked
from app.console.blueprint import console
from app.console.helpers import render
from app.console.parts import parts
from app.operations.database_look import look


@console.get("/database")
def database() -> Response:
    """What is wrong first, then what nobody knows, then what is well."""
    asking = asked(partial(look, parts().settings))
    remarks = sorted(asking.found or (), key=lambda remark: {False: 0, None: 1, True: 2}[remark.ok])
    return render("database", live="_database", trouble=asking.trouble, remarks=remarks)
