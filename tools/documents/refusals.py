"""The failures of each call: those that the contract tests pin, and the few sentences that no example file has."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from app.api.pages import BUSY
from app.api.routes import SCOPES
from app.models.errors import Forbidden
from app.wire.bodies import Body, OrderBody
from app.wire.codes import CODES
from tools.documents.examples import FILES, example

Sentences = Mapping[str, str]
"""The sentence of each code."""

_TROUBLE = ("database_away", "database_busy")
_OF_A_POST = (
    "no_data",
    "invalid_body",
    "invalid_idempotency_key",
    "malformed",
    "too_deep",
    "duplicate_key",
    "number_out_of_range",
    "invalid_text",
    "idempotency_key_in_use",
    "body_too_large",
    "unsupported_media_type",
    "idempotency_key_reused",
)
_OF_A_PAGE = ("orders_invalid_page", "orders_invalid_limit")
_OF_A_GET = {
    "listOrders": (*_OF_A_PAGE, "orders_invalid_status"),
    "listCustomerOrders": _OF_A_PAGE,
    "getOrderDetails": ("getOrderDetails_missing", "getOrderDetails_not_found"),
}
"""Names of example files, the last ones by call."""

# No example file has the sentences that follow. Tests provoke each of them.

_OTHER_TROUBLE: Mapping[int, Sentences] = {
    414: {"request_line_too_large": CODES["request_line_too_large"][1]},
    431: {"head_too_large": CODES["head_too_large"][1]},
    500: {"internal_error": "The service made a mistake; it has been logged"},
    503: {
        "outcome_unknown": (
            "The database connection was lost; whether the change was made is not known; please try again"
        ),
        "service_busy": CODES["service_busy"][1],
    },
}
_BUSY_PAGES: Sentences = {"service_busy": BUSY}
_IDS = {"listOrders": "runnerId", "listCustomerOrders": "customer_id", "getOrderDetails": "orderId"}
_NO_ID = "{} must be a text of 1 to 255 characters"
_ITEMS_TOO_DEAR: Sentences = {"money_over_ceiling": "order_details.foodItems must be at most 999.99 dollars"}


def of_a_get(call: str) -> dict[int, dict[str, str]]:
    """Return the sentences by status and code."""
    invalid = {"invalid_field": f"{_NO_ID.format(_IDS[call])} without NUL"}
    busy = {} if call == "getOrderDetails" else _BUSY_PAGES
    return _sentences(_OF_A_GET[call], {400: invalid, 503: busy, **_of_callers("GET")})


def of_a_post(call: str, body: type[Body]) -> dict[int, dict[str, str]]:
    """Return the sentences by status and code."""
    if not issubclass(body, OrderBody):
        fixed_fee = call == "testCreateOrder"
        dear = _ITEMS_TOO_DEAR if fixed_fee else {}
        return _sentences([*_own("createOrder"), *_OF_A_POST], {400: dear, **_of_callers("POST")})
    required = ", ".join(name for name, field in body.model_fields.items() if field.is_required())
    unusable = {"missing_fields": f"Missing required fields: {required}", "invalid_field": _NO_ID.format("orderId")}
    return _sentences([*_own(call), "getOrderDetails_not_found", *_OF_A_POST], {400: unusable, **_of_callers("POST")})


def _of_callers(method: str) -> dict[int, Sentences]:
    return {401: {"unauthorized": CODES["unauthorized"][1]}, 403: {"forbidden": str(Forbidden(SCOPES[method]))}}


def _own(call: str) -> list[str]:
    return sorted(path.stem for path in (FILES / "http").glob(f"{call}_*.json"))


def _sentences(files: Iterable[str], others: Mapping[int, Sentences]) -> dict[int, dict[str, str]]:
    """Return the sentences by status and code: those of the files, of the others and of every call."""
    found: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for file in (*files, *_TROUBLE):
        answer = example(f"http/{file}")
        if answer["status"] >= 400:
            found[answer["status"]][answer["body"]["code"]] = answer["body"]["error"]
    for status, sentences in (*_OTHER_TROUBLE.items(), *others.items()):
        found[status].update(sentences)
    return found
