"""The fields of bodies and commands, checked the same way at both doors [R6, R7]. Plain functions and pydantic types.

A field that is wrong raises PydanticCustomError whose message completes the sentence "<field> …".
"""

import re
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from app.models.commands import CreateOrder
from app.models.errors import Refused
from app.models.order import OrderStatus, PaymentStatus
from app.wire.decoder import is_storable
from app.wire.encoder import encode

MAX_ID_LENGTH = 255
MONEY_CEILING = Decimal("999.99")
MAX_QUANTITY = 10_000

_CENT = Decimal("0.01")
_EXACT = Context(prec=300_000, rounding=ROUND_HALF_UP)  # a whole body has 131,072 characters: no sum is ever cut
_NUMERIC_TEXT = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_WHOLE_TEXT = re.compile(r"[0-9]+")


def is_id(text: str) -> bool:
    """Tell whether the text can be an id: 1 to MAX_ID_LENGTH characters that PostgreSQL can hold."""
    return 1 <= len(text) <= MAX_ID_LENGTH and is_storable(text)


def _wrong(sentence: str, code: str = "invalid_field") -> PydanticCustomError:
    # Braces are pydantic's template marks; ours are literal.
    return PydanticCustomError(code, "{sentence}", {"sentence": sentence})


def _text(limit: int) -> BeforeValidator:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= limit:
            raise _wrong(f"must be a text of 1 to {limit} characters")
        return value

    return BeforeValidator(check)


def _any_text(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong("must be a text")
    return value


def amount(value: Any) -> Decimal:
    """Return a price or fee given as a JSON number or numeric text, exactly. Raises PydanticCustomError."""
    if isinstance(value, str) and _NUMERIC_TEXT.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and value >= 0:
        return Decimal(value)
    raise _wrong("must be a number of dollars that is not negative")


def cents(value: Decimal) -> Decimal:
    """Return the fee rounded half up to cents. Raises PydanticCustomError over the ceiling [O2]."""
    # A zero exponent keeps the digits few: 1e300 has one digit, and quantizing it would make 303.
    if value >= MONEY_CEILING + 1:
        raise _wrong(f"must be at most {MONEY_CEILING} dollars", "money_over_ceiling")
    rounded = value.quantize(_CENT, context=_EXACT) + 0
    if rounded > MONEY_CEILING:
        raise _wrong(f"must be at most {MONEY_CEILING} dollars", "money_over_ceiling")
    return rounded


def quantity(value: Any) -> int:
    """Return a whole number from 1 to MAX_QUANTITY. Raises PydanticCustomError."""
    if isinstance(value, str) and _WHOLE_TEXT.fullmatch(value):
        value = Decimal(value)
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not number or not 1 <= value <= MAX_QUANTITY or value != int(value):
        raise _wrong(f"must be a whole number from 1 to {MAX_QUANTITY}")
    return int(value)


class FoodItems:
    """The items as sent, as JSON text, and what they cost."""

    __slots__ = ("description", "fee")

    def __init__(self, items: Any) -> None:
        """Read and price the list. Raises PydanticCustomError that names the item."""
        if not isinstance(items, list):
            raise _wrong("must be a list of items")
        total = Decimal(0)
        for position, item in enumerate(items):
            if not isinstance(item, dict):
                raise _wrong(f"[{position}] must be an object")
            price, count = (_part(item, position, name, read) for name, read in _ITEM_PARTS)
            total = _EXACT.add(total, _EXACT.multiply(price, Decimal(count)))
        self.fee = cents(total)
        self.description = encode(items).decode()


_ITEM_PARTS = (("price", amount), ("quantity", quantity))


def _part(item: dict[str, Any], position: int, name: str, read: Any) -> Any:
    try:
        return read(item.get(name))
    except PydanticCustomError as error:
        raise _wrong(f"[{position}].{name} {error.message()}", error.type) from None


def _status(value: Any) -> OrderStatus:
    if isinstance(value, str) and value in OrderStatus.__members__:
        return OrderStatus[value]
    raise _wrong(f"Invalid status: {_shown(value)}", "invalid_status")


def _payment_status(value: Any) -> PaymentStatus:
    if isinstance(value, str) and value in PaymentStatus.__members__:
        return PaymentStatus[value]
    raise _wrong(f"Invalid payment status: {_shown(value)}", "invalid_payment_status")


def _names(values: type[OrderStatus] | type[PaymentStatus]) -> dict[str, Any]:
    return {"type": "string", "enum": [value.value for value in values]}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


_MONEY_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number", "minimum": 0, "exclusiveMaximum": 999.995},  # the ceiling counts after rounding
        {"type": "string", "pattern": r"^0*[0-9]{1,3}(\.[0-9]+)?$"},
    ]
}
_ITEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Other keys are kept as they are; name it with `name` or `item_name`",
    "required": ["price", "quantity"],
    "properties": {
        "price": {**_MONEY_SCHEMA, "description": "Dollars; price times quantity over all items is at most 999.99"},
        "quantity": {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_QUANTITY},
                {"type": "string", "pattern": f"^0*([1-9][0-9]{{0,3}}|{MAX_QUANTITY})$"},
            ]
        },
    },
    "additionalProperties": True,
    "examples": [{"name": "Burrito", "price": 8.5, "quantity": 2}],
}

Id = Annotated[str, _text(MAX_ID_LENGTH), Field(min_length=1, max_length=MAX_ID_LENGTH)]
Text = Annotated[str, BeforeValidator(_any_text)]
Location = Annotated[str, _text(255), Field(min_length=1, max_length=255)]
Fee = Annotated[
    Decimal,
    PlainValidator(lambda value: cents(amount(value))),
    WithJsonSchema({**_MONEY_SCHEMA, "description": "Dollars, rounded half up to cents, then at most 999.99"}),
]
Items = Annotated[
    FoodItems,
    PlainValidator(FoodItems),
    WithJsonSchema({"type": "array", "minItems": 1, "items": _ITEM_SCHEMA}),
]
Status = Annotated[
    OrderStatus,
    PlainValidator(_status),
    WithJsonSchema(_names(OrderStatus)),
]
Payment = Annotated[
    PaymentStatus,
    PlainValidator(_payment_status),
    WithJsonSchema(_names(PaymentStatus)),
]


_ABOUT_A_FIELD = {"title", "description", "default"}


def _as_sent(field: JsonSchemaValue, *, may_be_empty: bool) -> JsonSchemaValue:
    """Return the JSON schema of an optional field that also allows what means the same as leaving it out [R7]."""
    about = {key: field[key] for key in field.keys() & _ABOUT_A_FIELD if field[key] is not None}
    ways = field.get("anyOf") or [{key: field[key] for key in field.keys() - _ABOUT_A_FIELD}]
    if not any(way in ({}, {"type": "null"}) for way in ways):
        ways = [*ways, {"type": "null"}]
    if may_be_empty:
        ways = [{key: way[key] for key in way if key != "minLength"} for way in ways]
    return {**about, "anyOf": ways}


class Input(BaseModel):
    """Base of bodies and payloads: null is as if left out, a required field that is empty is missing [R7, H6]."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    empty_is_left_out: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _drop_what_says_nothing(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            raise _wrong("must be an object")
        return {name: value for name, value in fields.items() if value is not None and not cls._is_empty(name, value)}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name in properties.keys() & cls.model_fields.keys():
            if not cls.model_fields[name].is_required():
                properties[name] = _as_sent(properties[name], may_be_empty=name in cls.empty_is_left_out)
        return schema

    @classmethod
    def _is_empty(cls, name: str, value: Any) -> bool:
        if name in cls.empty_is_left_out:
            return bool(value == "")
        field = cls.model_fields.get(name)
        return field is not None and field.is_required() and value in ("", [], {})


Model = TypeVar("Model", bound=Input)


class OrderDetails(Input):
    """`order_details` of a create."""

    empty_is_left_out = frozenset({"storeLocation"})

    foodItems: Items
    storeLocation: Location | None = None
    deliveryLocation: Location
    deliveryFee: Fee = Decimal("0.00")

    def create(self, customer_id: str, saga_id: str | None = None, *, announce: bool = True) -> CreateOrder:
        """Return the create that these details mean, for both doors."""
        return CreateOrder(
            customer_id=customer_id,
            order_description=self.foodItems.description,
            food_fee=self.foodItems.fee,
            delivery_fee=self.deliveryFee,
            store_location=self.storeLocation,
            delivery_location=self.deliveryLocation,
            saga_id=saga_id,
            announce=announce,
        )


def parse_body(model: type[Model], fields: Any) -> Model:
    """Return `fields` as `model`. Raises Refused with a sentence about all missing fields, else the first wrong one."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _one_sentence(error) from None


def _one_sentence(error: ValidationError) -> Refused:
    problems = error.errors(include_url=False, include_input=False)
    missing = [_path(problem["loc"]) for problem in problems if problem["type"] == "missing"]
    if missing:
        return Refused("missing_fields", f"Missing required fields: {', '.join(missing)}")
    code, sentence = problems[0]["type"], problems[0]["msg"]
    if code in ("invalid_status", "invalid_payment_status"):
        return Refused(code, sentence)
    subject = _path(problems[0]["loc"]) or "The data"
    return Refused(code, subject + sentence if sentence.startswith("[") else f"{subject} {sentence}")


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)
