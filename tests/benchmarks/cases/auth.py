"""createOrder with each way to ask who calls beside nobody being asked: what a credential costs of the service's CPU.

The token of the third side is verified once and then found by its hash, as a caller's is. Each side has a database of
its own and leaves its events in the outbox: what relays them is the same for all. Two processes of the same code differ
by up to a tenth, all the time that they live: so the figures of each side are medians over several processes.
"""

import time
from dataclasses import replace

from app.config.config import Settings
from app.models.callers import Scope
from app.operations import keys
from app.operations.audit import Operator
from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.database import Database
from tests.benchmarks.measure import interleaved
from tests.benchmarks.rounds import CREATE, Writes
from tests.benchmarks.table import Result, cpu
from tests.harness.provider import AUDIENCE, ISSUER, running, signer

OFF, API_KEY, JWT = (f"this service, ROLES=api, AUTH_MODE={mode}" for mode in ("off", "api_key", "jwt"))
SIGNER = signer("RS256", "good")
TOKEN_SECONDS = 7200
PROCESSES = 5  # of each side


@case("auth")
def auth(bench: Bench) -> Result:
    """All three in turn."""
    database = bench.database("auth_api_key")
    operator = Operator(Settings.load({"DATABASE_URL": database.url}), "bench")
    key = keys.create(operator, "caller", {Scope.WRITE}).key
    token = SIGNER.token(exp=int(time.time()) + TOKEN_SECONDS)
    with running(SIGNER) as provider:
        tokens = {"JWT_JWKS_URL": provider.url, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
        kinds = [
            (bench.database("auth_off"), OFF, "", {"AUTH_MODE": "off"}),
            (database, API_KEY, key, {"AUTH_MODE": "api_key"}),
            (bench.database("auth_jwt"), JWT, token, {"AUTH_MODE": "jwt", **tokens}),
        ]
        sides = [_side(bench, *kind) for _ in range(PROCESSES) for kind in kinds]
        found = interleaved(sides, bench.options.rounds, bench.options.seconds)
    rows = [cpu("auth_api_key", found[API_KEY], found[OFF]), cpu("auth_jwt", found[JWT], found[OFF])]
    return Result(rows, {f"createOrder: {name}": sample for name, sample in found.items()})


def _side(bench: Bench, database: Database, name: str, credential: str, settings: dict[str, str]) -> Writes:
    served = bench.ours(database, name, None, ROLES="api", **settings)
    return Writes(bench, served, replace(CREATE, credential=credential), "ORDER_CREATED", relayed=False)
