"""What ordinary callers see of getOrderDetails while the same process does something large: pages, a backlog."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.cases.commands import REPLIES, Commands, judge_replies
from tests.benchmarks.cases.get import gets
from tests.benchmarks.cases.scaling import HANDLED
from tests.benchmarks.check import require
from tests.benchmarks.environment import LeftOut
from tests.benchmarks.load import CONNECTIONS, Load, finish, judged, run, start
from tests.benchmarks.measure import Meter, Sample, interleaved, median, memory_now, peak_memory
from tests.benchmarks.rounds import ALL, CREATE, Reads, Writes, require_page
from tests.benchmarks.table import MADE, Result, figure, rates, sample_table

CALLERS = 8  # ordinary ones: with more at full speed the time is the length of their queue
PAGE_CALLERS = 4
PAGE_OF = 1000
ENLARGE = (  # 128 KiB each, which do not compress
    "UPDATE orders SET order_description = (SELECT string_agg(md5(order_id || n), '') FROM generate_series(1, 4095) n)"
)
LONGER_SECONDS = 1.0  # that the pages are asked for, so that the calls beside never are alone
BACKLOG_ROUNDS = 3  # each has its 100,000 commands, which are worked off before the next
WORKED_OFF_SECONDS = 600.0
GET, CREATED = f"getOrderDetails, {CALLERS} callers", f"createOrder, {CONNECTIONS} connections"
QUIET, PAGES = f"{GET}, no pages", f"{GET}, beside pages of {PAGE_OF:,}"
GET_ALONE, CREATE_ALONE = f"{GET}, no commands wait", f"{CREATED}, no commands wait"
GET_BESIDE, CREATE_BESIDE = f"{GET}, beside commands that wait", f"{CREATED}, beside commands that wait"


@case("pages_beside")
def pages_beside(bench: Bench) -> Result:
    """The same calls alone and beside the pages, in turn."""
    orders = min(MADE, bench.options.orders)
    ours = bench.ours(bench.database("pages_beside", orders))
    ours.database.settle_loaded()
    quiet = replace(gets(bench, ours, connections=CALLERS), name=QUIET)
    found = interleaved([quiet, BesidePages(quiet, orders)], bench.options.rounds, bench.options.seconds)
    return Result([figure("pages_beside", found[PAGES].p99 or 0.0)], found)


@case("large_pages", by_name=True)
def large_pages(bench: Bench) -> Result:
    """Pages of orders with as much text as a body may have: what they take of memory, and others of them notice."""
    ours = bench.ours(bench.database("large_pages", PAGE_OF))
    ours.database.rows(ENLARGE)
    ours.database.settle_loaded()
    before = {"before them": Sample(memory=memory_now(ours))}
    quiet = replace(gets(bench, ours, connections=CALLERS), name=QUIET)
    found = interleaved([quiet, BesidePages(quiet, PAGE_OF)], bench.options.rounds, bench.options.seconds)
    return Result(sections={"large_pages": sample_table(before | found)})


@dataclass
class BesidePages:
    """Rounds of reads while others ask for large pages, one after the other without a pause."""

    reads: Reads
    orders: int

    def __post_init__(self) -> None:
        served, path = self.reads.served, f"/orders?page=@&limit={PAGE_OF}"
        pages = range(1, self.orders // PAGE_OF + 1)
        for page in (pages[0], pages[-1]):
            require_page(served, path.replace("@", str(page)), "true", (), page, PAGE_OF)
        values = self.reads.bench.folder / f"{served.events.topic}.pages"
        values.write_text("".join(f"{page}\n" for page in pages))
        self._pages = Load("GET", path, 200, values=values, again=True)

    def __call__(self, seconds: float) -> Mapping[str, Sample]:
        """Measure one round; the CPU time is not told, because two loads share it."""
        others = start(self._pages, self.reads.served.port, seconds + LONGER_SECONDS, PAGE_CALLERS)
        (beside,) = self.reads(seconds).values()
        answers = judged(self._pages, finish(others))
        self._pages = self._pages.after(answers)
        memory = peak_memory(self.reads.served)
        pages = Sample(rate=answers.count / answers.seconds, p50=answers.p50, p99=answers.p99, memory=memory)
        found = replace(beside, server_cpu=None, postgres_cpu=None)
        return {PAGES: found, f"pages of {PAGE_OF:,}, {PAGE_CALLERS} callers": pages}


@case("backlog_beside")
def backlog_beside(bench: Bench) -> Result:
    """Both calls alone, then again while the same process works off the commands that wait."""
    ours = bench.ours(bench.database("backlog_beside", MADE, "CREATED"))
    ours.database.settle_loaded()
    measure = BesideBacklog(bench, ours, min(MADE, bench.options.orders))
    measure.alone(bench.options.seconds / 3)  # warm up
    rounds = min(bench.options.rounds, BACKLOG_ROUNDS)
    try:
        found = [measure(bench.options.seconds) for _ in range(rounds)]
    except LeftOut as reason:
        return Result(left_out=dict.fromkeys(("backlog_get", "backlog_create"), str(reason)))
    ours.events.require_end()
    medians = {name: median([one[name] for one in found]) for name in found[0]}
    rows = [
        figure("backlog_get", medians[GET_BESIDE].p99 or 0.0),
        rates("backlog_create", medians[CREATE_BESIDE], medians[CREATE_ALONE]),
    ]
    return Result(rows, medians)


class BesideBacklog:
    """Rounds of both calls of one service, without commands that wait and beside them."""

    def __init__(self, bench: Bench, served: Served, waiting: int) -> None:
        self._served = served
        self._postgres = bench.postgres
        self._waiting = waiting
        self._commands = Commands(bench, served)
        self._get = gets(bench, served, connections=CALLERS)
        self._create = Writes(bench, served, CREATE, "ORDER_CREATED")

    def __call__(self, seconds: float) -> dict[str, Sample]:
        """Measure one round. Raises LeftOut where the commands were handled before the load was over."""
        found = self.alone(seconds)
        served, database = self._served, self._served.database
        handled, orders = self._handled(), database.number(ALL)
        sent = self._commands.commands(self._waiting)
        self._commands.publish(sent)
        (get,) = self._get(seconds).values()
        created = run(self._create.load, served.port, seconds)
        self._create.load = self._create.load.after(created)
        left = len(sent) - (self._handled() - handled)
        with Meter(served, self._postgres) as meter:
            served.events.await_count(len(sent) + created.count, WORKED_OFF_SECONDS)
        self._judge(sent, created.count, orders)
        if left <= 0:
            raise LeftOut(f"all {len(sent):,} commands were handled before the load beside them was over")
        found[GET_BESIDE] = replace(get, server_cpu=None, postgres_cpu=None)
        found[CREATE_BESIDE] = Sample(rate=created.count / created.seconds, p50=created.p50, p99=created.p99)
        return found | {"what was left of the commands": Sample(**meter.for_each(left))}

    def alone(self, seconds: float) -> dict[str, Sample]:
        """Measure both calls without commands."""
        (get,), (create, *_) = self._get(seconds).values(), self._create(seconds).values()
        return {GET_ALONE: get, CREATE_ALONE: create}

    def _handled(self) -> int:
        return self._served.database.number(HANDLED, self._served.commands_topic)

    def _judge(self, sent: Sequence[dict[str, Any]], created: int, orders: int) -> None:
        """Raise Wrong unless each command has its effect and its reply, and each order that was made its event."""
        served = self._served
        served.database.settle()
        records = served.events.take(len(sent) + created)
        replies = [record for record in records if dict(record.headers)["type"].decode() in REPLIES.values()]
        judge_replies(served, sent, replies)
        made = served.database.number(ALL) - orders
        wanted = created + sum(one["type"] == "create_order" for one in sent)
        require(made == wanted, f"{served.name}: {made} orders for {wanted} that were asked for")
