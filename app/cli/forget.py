"""`forget`: take a person's data out of everything that is stored, and keep the orders' figures."""

import click

from app.cli import commands
from app.cli.arguments import ID, confirm, yes_option
from app.cli.output import Answer, changes
from app.models.forgetting import Role
from app.operations import forget as operations
from app.operations.audit import Operator
from app.operations.forget import MANY, Forgotten


@commands.command("forget")
@click.option("--customer", type=ID, help="The customer's id.")
@click.option("--runner", type=ID, help="The runner's id.")
@click.option("--reason", type=ID, required=True, help="Why; the audit keeps it, so it must not name the person.")
@click.option("--open-too", is_flag=True, help="Also orders under way: nobody will know where they go.")
@yes_option
@changes
def forget(
    operator: Operator, customer: str | None, runner: str | None, reason: str, open_too: bool, yes: bool
) -> Answer:
    """Forget a customer or a runner, for good.

    The id becomes a random pseudonym, the same in all orders. Of a customer also what was ordered, where it went and
    why it was cancelled go. Fees, statuses, times and counts stay. Each order gets a version and announces
    ORDER_FORGOTTEN, so that its readers can forget too. It runs beside the service and keeps nobody waiting.

    What is on Kafka's topics already goes with their retention; backups and consumers keep what they have. Where an
    event still waits for Kafka, the exit code is 1: run the command again once it has left.

    \b
    Examples:
      flask orders forget --customer customer-1 --reason 'request 17'
      flask orders forget --runner runner-7 --reason 'request 18' --yes --as alice
    """
    if (customer is None) == (runner is None):
        raise click.UsageError("Give either --customer or --runner.")
    role = Role.CUSTOMER if customer is not None else Role.RUNNER
    person_id = customer or runner or ""
    found = operations.look(operator.settings, role, person_id, open_too=open_too)
    many = f"{MANY} orders or more" if found == MANY else f"{found} orders"
    confirm(f"{many}, and all else that names this {role}, lose the data for good. Go on?", yes=yes)
    done = operations.forget(operator, role, person_id, reason=reason, open_too=open_too)
    return Answer(done, _text(done), exit_code=0 if done.is_complete else 1)


def _text(done: Forgotten) -> str:
    if done.found_nothing:
        return "Nobody of that id is stored."
    taken = f"{done.orders} orders, {done.history} changes, {done.answers} answers and {done.records} records"
    lines = [f"Taken out of {taken}; in the orders stands {done.pseudonym}."]
    if done.waiting:
        lines.append(f"{done.waiting} events or dead letters still wait for Kafka: run this again when they have left.")
    if done.counted:
        lines.append("Orders are still counted under the id, new ones or not folded yet: run this again in a minute.")
    return "\n".join(lines)
