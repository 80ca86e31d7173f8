"""`offsets show|set|forget|accept-cluster`: how far the commands are handled, and where to go on."""

import click

from app.cli import commands
from app.cli.arguments import confirm, yes_option
from app.cli.output import Answer, changes, looks, table
from app.config.config import Settings
from app.models.operator_errors import NotPossible
from app.operations import cluster, offsets
from app.operations.audit import Operator

group = click.Group("offsets", help="How far the commands are handled.")
commands.add_command(group)


@group.command("show")
@looks
def show_offsets(settings: Settings) -> Answer:
    """Show the stored offset of each partition beside the log and the group.

    `lag` counts the offsets between the stored one and the end of the log.

    \b
    Examples:
      flask orders offsets show
      flask orders offsets show --json | jq '.partitions[].lag'
    """
    rows = offsets.show(settings)
    document = {"topic": settings.commands_topic, "group": settings.group_id, "partitions": rows}
    columns = "partition, stored, log begins=begin, log ends=end, group=committed, lag, what is wrong=alarm"
    return Answer(document, table(columns, rows))


@group.command("set")
@click.option("--partition", type=int, required=True, help="Partition of the commands topic.")
@click.option("--offset", type=int, required=True, help="The next command to handle.")
@click.option("--do-again", is_flag=True, help="With --yes: also where commands would be done a second time.")
@yes_option
@changes
def set_offset(operator: Operator, partition: int, offset: int, do_again: bool, yes: bool) -> Answer:
    """Set the stored offset of one partition: the next command to handle.

    Going back: commands that this service handled are recognised by their bytes for COMMAND_IDENTITY_DAYS, and nothing
    is done twice. Older ones, and those that another service handled before this one took its place, are not: they
    would be done again. The log is compared, and that is said before anything is changed. What is skipped is never
    handled or answered. A running service follows within 5 s.

    \b
    Examples:
      flask orders offsets set --partition 0 --offset 4711
      flask orders offsets set --partition 2 --offset 0 --yes --as alice
    """
    plan = offsets.plan(operator.settings, partition, offset)
    if plan.repeats and yes and not do_again:
        raise NotPossible(f"{plan.consequence} Nothing was changed; add --do-again if that is what you want.")
    changed = plan.consequence != ""
    if changed:
        confirm(f"{plan.consequence} Go on?", yes=yes)
        offsets.set_offset(operator, plan)
    before = plan.before and plan.before.next_offset
    document = {"partition": partition, "before": before, "offset": offset, "changed": changed}
    done = f"was set from {'nothing' if before is None else before}" if changed else "stands there already"
    return Answer(document, f"Partition {partition} {done}: the next command to handle is {offset}.")


@group.command("forget")
@click.option("--partition", type=int, required=True, help="A partition that the topic does not have any more.")
@yes_option
@changes
def forget_offset(operator: Operator, partition: int, yes: bool) -> Answer:
    """Take away the stored offset of a partition that the topic does not have any more.

    \b
    Examples:
      flask orders offsets forget --partition 5
    """
    stored = offsets.forgettable(operator.settings, partition)
    place = f"{operator.settings.commands_topic}/{partition}"
    confirm(f"{place} is not there any more; it was handled up to {stored.next_offset}. Forget it?", yes=yes)
    offsets.forget(operator, partition, stored)
    document = {"partition": partition, "before": stored.next_offset, "offset": None}
    return Answer(document, f"The stored offset of partition {partition} is forgotten.")


@group.command("accept-cluster")
@yes_option
@changes
def accept_cluster(operator: Operator, yes: bool) -> Answer:
    """Say that the Kafka cluster at KAFKA_BOOTSTRAP_SERVERS is the right one from now on.

    The service stops at another cluster than its stored offsets are of. Where the topics are others too, commands are
    handled from their beginning, and read-back begins there.

    \b
    Examples:
      flask orders offsets accept-cluster
      flask orders offsets accept-cluster --yes --as alice
    """
    there = cluster.compare(operator.settings)
    found, addresses, known = there.found, there.addresses, there.known
    document = {"before": known, "cluster": found, "addresses": addresses}
    if known == found:
        return Answer(document, f"The cluster at {addresses} is the one of the stored offsets already ({found}).")
    was = "none is known so far" if known is None else f"the stored offsets are of {known} at {there.known_addresses}"
    confirm(f"{addresses} is the cluster {found}; {was}. From now on it is the one to work with. Go on?", yes=yes)
    cluster.accept(operator, there)
    sentence = f"The cluster {found} at {addresses} is accepted. Running instances go on with it within 5 s."
    return Answer(document, sentence)
