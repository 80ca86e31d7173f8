"""`offsets accept-cluster`, and that no command takes another Kafka cluster for the one of the stored offsets."""

from datetime import datetime

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import Connection, delete, insert, text

from app.cli import audit, broker
from app.cli.arguments import confirm, yes_option
from app.cli.database import transaction
from app.cli.output import Failure, json_option, print_json
from app.config.config import Settings
from app.database.statements import FIND_CLUSTER
from app.models.models import kafka_cluster
from app.services.known_cluster import other_cluster, share_an_address


def require_ours(settings: Settings, cluster_id: str) -> None:
    """Return where the cluster is the one of the stored offsets, or none is known. Raises Failure."""
    with transaction() as connection:
        known = _known(connection)
    if known is None or known[0] == cluster_id:
        return
    known_id, addresses, seen_at = known
    if share_an_address(addresses, settings.bootstrap_servers) and broker.is_made_anew(settings, seen_at):
        return
    raise Failure(other_cluster(known_id, addresses, cluster_id, settings.bootstrap_servers) + ".")


@click.command("accept-cluster")
@yes_option
@audit.as_option
@json_option
@with_appcontext
def accept_cluster(yes: bool, who: str, as_json: bool) -> None:
    """Say that the Kafka cluster at KAFKA_BOOTSTRAP_SERVERS is the right one from now on.

    The service stops at another cluster than its stored offsets are of. Where the topics are others too, commands are
    handled from their beginning, and read-back begins there.

    \b
    Examples:
      flask orders offsets accept-cluster
      flask orders offsets accept-cluster --yes --as alice
    """
    settings: Settings = current_app.extensions["settings"]
    found, addresses = broker.cluster_id(settings), ",".join(settings.bootstrap_servers)
    with transaction() as connection:
        known = _known(connection)
    shown = {"before": known and known[0], "cluster": found, "addresses": addresses}
    if known is not None and known[0] == found:
        sentence = f"The cluster at {addresses} is the one of the stored offsets already ({found})."
        print_json(shown) if as_json else click.echo(sentence)
        return
    was = "none is known so far" if known is None else f"the stored offsets are of {known[0]} at {known[1]}"
    confirm(f"{addresses} is the cluster {found}; {was}. From now on it is the one to work with. Go on?", yes=yes)
    with transaction() as connection:
        connection.execute(delete(kafka_cluster))
        connection.execute(insert(kafka_cluster).values(cluster_id=found, addresses=addresses))
        audit.record(
            connection, who, "accept-cluster", f"cluster {found}", f"{known and known[0]} → {found}, {addresses}"
        )
    sentence = f"The cluster {found} at {addresses} is accepted. Running instances go on with it within 5 s."
    print_json(shown) if as_json else click.echo(sentence)


def _known(connection: Connection) -> tuple[str, str, datetime] | None:
    row = connection.execute(text(FIND_CLUSTER.sql)).first()
    return None if row is None else (row[0], row[1], row[2])
