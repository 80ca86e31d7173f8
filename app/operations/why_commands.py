"""A command on its way to us: is it in the log, is the topic ours, has the partition an owner, is it handled?"""

from functools import partial

from app.kafka import log_search
from app.kafka.log_check import GoOn, Halt, where_to_go_on
from app.kafka.log_search import LogRecord
from app.kafka.operator import Place
from app.kafka.standing import waiting_records
from app.models.operator_errors import DatabaseUnusable, KafkaUnusable
from app.operations.guarded import NotAsked
from app.operations.instances import Instance
from app.operations.why_case import Case, Check, cannot
from app.operations.why_ground import ASK_SECONDS, evidence_of, ringing, row
from app.services.known_cluster import other_cluster
from app.utils.spans import span
from app.utils.text import counted, listed

MOST_WAITING = 1000  # records of a partition among which a command is looked for
FROZEN_SECONDS = 5.0  # a batch takes less
LOOK_SECONDS = 1.0  # between two looks at the stored offsets
OWN_HANDLING = ("offset_", "commands_wait_", "partition_")
"""Alarms of a consumer that works and cannot go on. Behind each name stands the partition."""
HANDLING = (*OWN_HANDLING, "commands_stalled_")
OF_ALL_PARTITIONS = ("consumer_fails", "foreign_member")


def log(case: Case) -> Check | None:
    """Is the command in the log? Finds it at its place, or among those that wait. None if there is nothing to say."""
    if case.place is not None:
        return _at_its_place(case)
    if case.event_place is not None:
        return _of_event(case, case.event_place)
    waiting = case.waiting()
    if not waiting or case.known.answers or case.event_id is not None:
        return None
    ask = partial(waiting_records, case.settings, waiting, MOST_WAITING, ASK_SECONDS)
    try:
        found = case.within(ask)
    except (KafkaUnusable, NotAsked) as reason:
        return cannot("log", "The waiting commands", reason)
    case.looked_at, case.looked_through = found.read, found.whole
    for record in found.records:
        if case.names(record):
            case.take(record)
            return _lies(case, record, "It waits")
    unread = sum(end - begin for begin, end in waiting.values()) - sum(found.read.values())
    beyond = f", {unread} more were not read" if unread > 0 else ""
    return Check("log", True, f"None of {counted(sum(found.read.values()), 'waiting command')} names it{beyond}.")


def topic(case: Case) -> Check | None:
    """Are the stored offsets of this cluster and of this topic, and inside its log?"""
    standing, facts = case.standing, case.known
    partitions = case.partitions()
    if standing is None or standing.topic is None or not partitions:
        return None
    if facts.cluster is not None and standing.cluster_id and facts.cluster[0] != standing.cluster_id:
        sentence = other_cluster(*facts.cluster, standing.cluster_id, case.settings.bootstrap_servers)
        return Check("topic", False, f"{sentence}.", heals="flask orders offsets accept-cluster")
    for partition in partitions:
        stored, log_bounds = facts.stored.get(partition), standing.bounds.get(partition)
        if log_bounds is None:
            return _unled(case, partition)
        if stored is None:
            continue
        found = where_to_go_on(stored, standing.topic.id, log_bounds.begin, log_bounds.end)
        if found.alarm is not None:
            return _disagrees(case, partition, found)
    rung = ringing(facts, *(f"topic_made_anew_{partition}_" for partition in partitions))
    return Check("topic", True, "The topic is the one that the stored offsets are of.", evidence_of(rung, facts))


def owner(case: Case) -> Check | None:
    """Has a consumer of ours the partition, and does it move the stored offset?"""
    standing = case.standing
    waiting = {number: case.waiting()[number] for number in case.partitions() if number in case.waiting()}
    if standing is None or not waiting:
        return None
    if standing.members is None:
        return Check("owner", None, "The members of the group are not told: the service's user needs DESCRIBE on it.")
    group = case.settings.group_id
    for partition in sorted(waiting):
        owners = [member for member in standing.members if partition in member.partitions]
        if not owners:
            among = (
                f"its {len(standing.members)} members have others or join" if standing.members else "it has no member"
            )
            heals = "Start an instance with ROLES=all or worker; a group that members join anew needs some seconds"
            return Check("owner", False, f"Nobody has partition {partition}: of group {group}, {among}.", heals=heals)
        if not owners[0].is_ours:
            sentence = f"{owners[0].client_id} at {owners[0].host} has partition {partition} and is not this service."
            return Check("owner", False, sentence, heals=f"Stop that member, or give it another group than {group}")
        if (silent := case.known.silent_member(owners[0].client_id)) is not None:
            return _silent_owner(case, partition, silent)
    try:
        case.look_again(LOOK_SECONDS)  # a rate needs two moments
    except (DatabaseUnusable, NotAsked) as reason:
        return cannot("owner", "How far the stored offsets move", reason)
    return _moves(case, sorted(waiting))


def handled(case: Case) -> Check | None:
    """Is the command's offset handled? If not: how many are before it, how fast is it, which alarm says why?"""
    facts, place = case.known, case.place
    if place is None:
        return _all_handled(case)
    stored = facts.stored.get(place.partition)
    if stored is not None and stored.next_offset > place.offset:
        said = (
            f"Partition {place.partition} is handled up to {stored.next_offset - 1}, the command at {place.offset} too."
        )
        return Check("handled", True, said)
    locked = row(case)  # the log has told the command's order since
    if locked is not None and locked.ok is False:
        return locked
    before = place.offset - (case.waiting().get(place.partition) or (place.offset, 0))[0]
    since = "" if case.command is None else f" for {span(facts.ago(case.command.at))}"
    rung = ringing(facts, *(f"{kind}{place.partition}" for kind in HANDLING), *OF_ALL_PARTITIONS)
    why = f": {rung[0].sentence.rstrip('.')}" if rung else _held_by_transaction(case, place.partition, place.offset)
    said = f"The command at {place.offset} waits{since}, {before} before it, {_rate(case, place.partition)}{why}."
    return Check("handled", False, said, evidence_of(rung, facts), _heals(case, place.partition, bool(rung), before))


def known(case: Case) -> Check | None:
    """Does anything know the id? None once something does."""
    facts = case.known
    if facts.knows or case.command is not None or case.word is not None:
        return None
    happened = ringing(facts, "topic_made_anew_", "commands_lost_", "log_replaced_", "cluster_made_anew_")
    looked = sum(case.looked_at.values())
    waiting = f" or the {looked} waiting commands that were read" if looked else ""
    sentence = (
        f"Nothing knows {case.id!r}: neither the tables{waiting}. No such command has come, or its facts are too old."
    )
    evidence = [*evidence_of(happened, facts), *(f"Not looked at: {each}" for each in facts.unknown)]
    heals = (
        "Ask the sender; flask orders search knows more kinds of ids; unreadable commands have none: dead-letters list"
    )
    return Check("known", False, sentence, evidence, heals)


def _at_its_place(case: Case) -> Check:
    place, standing = case.place, case.standing
    assert place is not None
    assert standing is not None
    log_bounds = standing.bounds.get(place.partition)
    if log_bounds is None:
        return Check("log", None, f"{place} cannot be read: its partition is missing or has no leader.")
    if place.offset >= log_bounds.end:
        said = f"There is no command at {place} yet: the log of the partition ends at {log_bounds.end}."
        return Check("log", False, said, heals="Look at the sender: it has not sent the command, or to another topic")
    if place.offset < log_bounds.begin:
        return Check("log", None, f"{place} was deleted by retention: the log begins at {log_bounds.begin}.")
    none = f"There is no record at {place}: compaction, or the marker of a transaction."
    record = _read(case, place, Check("log", None, none))
    if isinstance(record, Check):
        return record
    case.take(record)
    return _lies(case, record, "It lies")


def _of_event(case: Case, place: Place) -> Check:
    """Go on with the order and the correlation id that an event or reply names."""
    record = _read(case, place, Check("log", False, f"There is no record at {place}."))
    if isinstance(record, Check):
        return record
    named = [dict(record.headers).get("correlation_id"), record.key]
    case.go_on_with(each.decode(errors="replace") for each in named if each is not None)
    return Check("log", True, f"An event lies at {place}, for {span(case.known.ago(record.at))}.")


def _read(case: Case, place: Place, otherwise: Check) -> LogRecord | Check:
    """Return the record at the place; `otherwise` where there is none, or the check that could not be asked."""
    ask = partial(log_search.record_at, case.settings, place.topic, place.partition, place.offset, ASK_SECONDS)
    try:
        return case.within(ask) or otherwise
    except (KafkaUnusable, NotAsked) as reason:
        return cannot("log", f"{place}", reason)


def _lies(case: Case, record: LogRecord, verb: str) -> Check:
    where = f"{record.topic}/{record.partition}/{record.offset}"
    what = case.command.command if case.command else ""
    named = f"unreadable: {what}" if isinstance(what, str) else f"{what.type} {what.correlation_id}"
    return Check("log", True, f"{verb} at {where}, for {span(case.known.ago(record.at))} ({named}).")


def _unled(case: Case, partition: int) -> Check:
    rung = ringing(case.known, f"partition_{partition}", "partitions_without_leader")
    sentence = f"Partition {partition} of the commands has no leader that answers, so nothing in it can be read."
    return Check(
        "topic", False, sentence, evidence_of(rung, case.known), "Bring the broker back that leads the partition"
    )


def _disagrees(case: Case, partition: int, found: GoOn | Halt) -> Check:
    """Say where the stored offset and the log disagree, and whether the service goes on by itself."""
    facts, standing = case.known, case.standing
    assert standing is not None
    assert standing.topic is not None
    stored, log_bounds = facts.stored[partition], standing.bounds[partition]
    evidence = [
        f"Stored: {stored.next_offset} of topic {stored.topic_id}",
        f"The log: {log_bounds.begin} to {log_bounds.end} of topic {standing.topic.id}",
        *evidence_of(ringing(facts, f"offset_{partition}", f"topic_made_anew_{partition}_"), facts),
    ]
    heals = f"flask orders offsets show; flask orders offsets set --partition {partition} --offset OFFSET"
    if isinstance(found, GoOn):
        heals = f"Running instances go on by themselves within 5 s. If they do not: {heals}"
    return Check("topic", False, f"Partition {partition}: {found.alarm}.", evidence, heals)


def _silent_owner(case: Case, partition: int, owner: Instance) -> Check:
    """Name the process at once: that its offset does not move shows only after some seconds."""
    sentence = f"Partition {partition} is held by an instance that is silent: {owner.falls_silent}."
    session = span(case.settings.session_timeout_ms / 1000)
    heals = owner.end_or(f"its session with Kafka ends {session} after its last word, and another instance goes on")
    return Check("owner", False, sentence, heals=heals)


def _moves(case: Case, partitions: list[int]) -> Check:
    """Judge the owners of partitions in which something waits by how the stored offsets move."""
    facts, standing = case.known, case.standing
    assert standing is not None
    names = {member.client_id for member in standing.members or () if member.partitions & set(partitions)}
    had = f"{listed(sorted(names))} has {_partitions(partitions)}"
    for partition in partitions:
        still = facts.ago(facts.moved_at[partition]) if partition in facts.moved_at else FROZEN_SECONDS
        waits = facts.ago(case.command.at) if case.command else still
        stands = case.moved.get(partition, 0) <= 0 and min(still, waits) >= FROZEN_SECONDS
        if stands and _can_be_handled(case, partition):
            stood = span(min(still, waits))
            sentence = f"{had}, but its stored offset has not moved for {stood}, while commands wait: it is frozen."
            heals = "Restart that process; its partitions go to another one when its session ends"
            rung = ringing(facts, f"commands_stalled_{partition}", *OF_ALL_PARTITIONS)
            return Check("owner", False, sentence, evidence_of(rung, facts), heals)
    return Check("owner", True, f"{had}.", [f"Partition {each}: {_rate(case, each)}" for each in partitions])


def _held_by_transaction(case: Case, partition: int, offset: int) -> str:
    """Return what to say if an open transaction keeps the record at the offset from being read, else nothing."""
    log_bounds = case.standing.bounds.get(partition) if case.standing else None
    if log_bounds is None or offset < log_bounds.readable or log_bounds.readable == log_bounds.end:
        return ""
    return f": an open transaction of a producer holds the partition from {log_bounds.readable} on, until it ends"


def _can_be_handled(case: Case, partition: int) -> bool:
    """Tell whether a record waits that a consumer at work would handle: it can be read, no alarm is about it, and
    nobody holds its order."""
    is_seen = case.command is not None or case.looked_at.get(partition, 0) > 0
    is_explained = case.known.row_locks or ringing(case.known, *(f"{kind}{partition}" for kind in OWN_HANDLING))
    return is_seen and not is_explained and not _held_by_transaction(case, partition, _first(case, partition))


def _first(case: Case, partition: int) -> int:
    """Return the first offset that waits."""
    return case.waiting().get(partition, (0, 0))[0]


def _all_handled(case: Case) -> Check | None:
    """Judge the queue of an id that is not known: its command may be anywhere in it."""
    facts = case.known
    if facts.knows or not case.waiting():
        return None
    lags = {number: end - begin for number, (begin, end) in case.waiting().items()}
    rung = ringing(facts, *(f"{kind}{number}" for number in lags for kind in HANDLING), *OF_ALL_PARTITIONS)
    if not rung and case.looked_through:
        return None
    rates = [f"Partition {number}: {lag} wait, {_rate(case, number)}" for number, lag in lags.items()]
    why = f" {rung[0].sentence}" if rung else ""
    sentence = f"Nothing is known of it yet, and {sum(lags.values())} commands wait, perhaps this one too.{why}"
    heals = _heals(case, min(lags), bool(rung), sum(lags.values()))
    return Check("handled", False, sentence, [*rates, *evidence_of(rung, facts)], heals)


def _rate(case: Case, partition: int) -> str:
    if not case.moved_seconds:
        return "at an unknown rate"
    return f"at {max(case.moved.get(partition, 0), 0) / case.moved_seconds:.0f} a second"


def _heals(case: Case, partition: int, has_alarm: bool, before: int) -> str:
    rung = ringing(case.known, *(f"{kind}{partition}" for kind in HANDLING), *OF_ALL_PARTITIONS)
    if not has_alarm or not rung:
        rate = max(case.moved.get(partition, 0), 0) / (case.moved_seconds or 1.0)
        return f"Wait: about {span(before / rate)}" if rate else "Wait, and ask again in some seconds"
    if rung[0].name.startswith("offset_"):
        return f"flask orders offsets show; flask orders offsets set --partition {partition} --offset OFFSET"
    return f"Mend what the alarm names (flask orders alarms show {rung[0].name}); the command is handled by itself then"


def _partitions(numbers: list[int]) -> str:
    return f"partition{'s' * (len(numbers) > 1)} {listed(numbers)}"
