import collections, json, time
import hypothesis, pytest, schemathesis
from schemathesis import Config
from schemathesis.core.failures import FailureGroup

from app.api.documents.openapi import document
from app.utils.encoder import encode
config = Config.from_dict({"checks": {}, "generation": {"allow-x00": False}})
schema = schemathesis.openapi.from_dict(json.loads(encode(document())), config=config)

APP = {}
schema.app = lambda environ, start: APP["app"](environ, start)
@pytest.fixture(scope="session", autouse=True)
def _serve(documented_app):
    APP["app"] = documented_app

FOUND = collections.Counter(); SAMPLE = {}

@schema.parametrize()
@hypothesis.settings(max_examples=40, deadline=None, suppress_health_check=list(hypothesis.HealthCheck), database=None)
def test_all(case):
    response = case.call()
    FOUND[(case.operation.label, "calls")] += 1
    FOUND[(case.operation.label, response.status_code)] += 1
    try:
        case.validate_response(response)
    except (FailureGroup, AssertionError) as e:
        for x in getattr(e, "exceptions", [e]):
            k = (case.operation.label, type(x).__name__)
            FOUND[k] += 1
            SAMPLE.setdefault(k, []).append(f"{case.method} {response.request.url[:200]}\n      headers={ {k:v for k,v in case.headers.items()} if case.headers else None}\n      body={case.body!r:.300}\n      -> {response.status_code} {response.text[:200]}\n      {str(x)[:300]!r}\n      meta={getattr(case.meta,'phase',None)!r:.300}")

def test_zz():
    for k, v in sorted(FOUND.items(), key=str): print(k, v)
    for k, v in SAMPLE.items():
        print("=====", k)
        for s in v[:4]: print("   ", s)
