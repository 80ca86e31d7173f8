"""`recount`: the numbers of the lists anew, from the orders."""

import click
from flask.cli import with_appcontext
from sqlalchemy import func, select

from app.cli import audit
from app.cli.arguments import confirm, yes_option
from app.cli.check import SECONDS
from app.cli.database import transaction
from app.cli.output import json_option, print_json
from app.models.models import order_counts


@click.command("recount")
@click.option("--deadline", type=SECONDS, default=120, show_default=True, help="Seconds that it may take.")
@yes_option
@audit.as_option
@json_option
@with_appcontext
def recount(deadline: int, yes: bool, who: str, as_json: bool) -> None:
    """Count all orders anew, where `check` says that the counts are wrong.

    Nobody can write an order meanwhile: some seconds per million orders. Only the owner of the tables may.

    \b
    Examples:
      flask orders recount
      flask orders recount --yes --as alice
    """
    confirm("Orders cannot be written while they are counted. Go on?", yes=yes)
    with transaction(deadline) as connection:
        connection.execute(select(func.recount_orders()))
        by_status = select(func.coalesce(func.sum(order_counts.c.orders), 0)).where(order_counts.c.kind == "status")
        counted = int(connection.scalar(by_status) or 0)
        audit.record(connection, who, "recount", "order_counts", f"{counted} orders")
    if as_json:
        print_json({"orders": counted})
        return
    click.echo(f"Counted {counted} orders.")
