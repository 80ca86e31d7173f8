"""The one JSON reader: what it takes it takes exactly, what it does not take raises Refused and nothing else."""

import json
import re
import sys
from decimal import Decimal
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.errors import Refused
from app.wire import decoder
from app.wire.decoder import MAX_DEPTH, decode, decode_leniently, is_storable, too_deep
from app.wire.encoder import encode
from tests.unit.builders import BOUNDED

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NUMBERS = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)
BITS = st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u", b"d83d", b"0000", b":", b",", b"1e9999", b"NaN"])
JSON_LIKE = st.lists(BITS | st.binary(max_size=3), max_size=80).map(b"".join)


def code_of(body: bytes) -> str:
    with pytest.raises(Refused) as refused:
        decode(body)
    assert str(refused.value)
    return refused.value.code


def nested(levels: int, inner: str = "") -> bytes:
    return ("[" * levels + inner + "]" * levels).encode()


def exactly(value: Any) -> Any:
    """What the decoder promises for the text of `value`: numbers with a fraction or exponent as Decimal."""
    return json.loads(json.dumps(value), parse_float=Decimal)


@BOUNDED
@given(VALUES)
def test_ordinary_values_come_back_as_they_were(value: Any) -> None:
    """[O2]"""
    assert decode(json.dumps(value).encode()) == exactly(value)
    assert decode(json.dumps(value, ensure_ascii=False).encode()) == exactly(value)


@BOUNDED
@given(VALUES)
def test_what_was_decoded_can_be_encoded_again(value: Any) -> None:
    """[O1]"""
    decoded = decode(json.dumps(value).encode())
    assert decode(encode(decoded)) == decoded


@BOUNDED
@given(st.binary(max_size=200) | JSON_LIKE)
def test_nothing_but_unreadable_is_raised_whatever_the_bytes_are(body: bytes) -> None:
    """[R7] [H1]"""
    try:
        value = decode(body)
    except Refused:
        return
    assert encode(value)


@BOUNDED
@given(st.binary(max_size=200) | JSON_LIKE)
def test_the_lenient_reader_raises_nothing(body: bytes) -> None:
    """[K10]"""
    if not too_deep(body):
        decode_leniently(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'[[{"x":{"a":1,"b":2,"a":3}}]]',
        b'{"items":[{},{"a":[{"b":0,"b":0}]}]}',
    ],
)
def test_a_repeated_key_is_refused_at_any_depth(body: bytes) -> None:
    """[R7]"""
    assert code_of(body) == "duplicate_key"


def test_the_same_key_in_two_objects_is_fine() -> None:
    assert decode(b'[{"a":1},{"a":{"a":2}}]') == [{"a": 1}, {"a": {"a": 2}}]


@pytest.mark.parametrize(
    "number",
    ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "1" + "0" * 400, "9" * 5000, "-" + "9" * 5000],
)
@pytest.mark.parametrize("around", ["{}", "[1,{}]", '{{"a":[{{"b":{}}}]}}'])
def test_a_number_that_no_reader_can_hold_is_refused(number: str, around: str) -> None:
    """[R7]"""
    assert code_of(around.format(number).encode()) == "number_out_of_range"


@pytest.mark.parametrize(
    "number", ["1e308", "-1e308", "1e-300", "9" * 300, "0e999", "0.0e-999", "-0", "-0.0", "5e-324"]
)
def test_a_number_at_the_edge_is_taken_exactly(number: str) -> None:
    assert float(decode(number.encode())) == float(number)


@pytest.mark.parametrize("number", ["0e9999999999999999999", "0.0e-9999999999999999999", "0E+1000000000000000000"])
def test_a_zero_is_a_zero_whatever_its_exponent_is(number: str) -> None:
    """[R6] No Decimal has such exponents."""
    assert decode(number.encode()) == 0
    assert encode(decode(f"-{number}".encode())) == number.encode()


@pytest.mark.parametrize("number", ["0.1", "12.99", "1.10", "12345678901234567890.123456789012345678901234567890"])
def test_a_fraction_keeps_its_digits(number: str) -> None:
    """[O2]"""
    assert str(decode(number.encode())) == number


@pytest.mark.parametrize("digits", [17, 18, 19, 20, 40])
def test_a_long_integer_keeps_its_digits(digits: int) -> None:
    assert decode(b"7" * digits) == int("7" * digits)
    assert encode(decode(b"-" + b"7" * digits)) == b"-" + b"7" * digits


@pytest.mark.parametrize("number", ["01", "+1", ".5", "1.", "0x1", "1_000", "--1", "1e", "١"])
def test_what_is_no_json_number_is_refused(number: str) -> None:
    assert code_of(number.encode()) == "invalid_json"


def test_32_levels_are_read_and_33_are_not() -> None:
    """[R7]"""
    assert encode(decode(nested(32))) == nested(32)
    assert code_of(nested(33)) == "too_deep"
    assert code_of(b'{"a":' * 33 + b"1" + b"}" * 33) == "too_deep"


def test_levels_are_open_at_once_not_in_all() -> None:
    """[R7]"""
    assert decode(b"[" + b",".join([b"[[]]"] * 200) + b"]") == [[[]]] * 200


@pytest.mark.parametrize("text", ["[" * 50, '\\"[{' * 50, "\\\\" + "[" * 50, "]" * 50 + "[" * 50])
def test_brackets_inside_a_string_do_not_count(text: str) -> None:
    """[R7]"""
    assert not too_deep(nested(32, f'"{text}"'))
    assert too_deep(nested(33, f'"{text}"'))
    assert decode(nested(3, f'"{text}"')) == [[[json.loads(f'"{text}"')]]]


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (b"[" * 20_000, True),
        (b'{"a":' * 20_000, True),
        (b"]" * 40 + b"[" * 32, False),
        (b"]" * 40 + b"[" * 33, True),
        (b"[{" * 16 + b"[", True),
        (b'"' + b"[" * 50, False),  # a string that never ends holds no bracket
        (b'"\\', False),
        (b"\xff" + b"[" * 33, True),
        (b"", False),
    ],
)
def test_depth_is_known_of_bytes_that_are_not_json(body: bytes, deep: bool) -> None:
    """[K10]"""
    assert too_deep(body) is deep


@BOUNDED
@given(st.text('[]{}"a', max_size=150).map(str.encode) | st.text("[[[]]", min_size=60, max_size=150).map(str.encode))
def test_the_depth_is_that_of_counting_bracket_by_bracket(body: bytes) -> None:
    """[K10]"""
    depth = deepest = 0
    for part in re.findall(rb'"[^"]*"?|[\[\]{}]', body):
        depth = depth + 1 if part in (b"[", b"{") else max(depth - (part in (b"]", b"}")), 0)
        deepest = max(deepest, depth)
    assert too_deep(body) is (deepest > MAX_DEPTH)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b",".join([b"[]"] * 43_000) + b"]",
        b"[" + b",".join([b"{}"] * 43_000) + b"]",
        b"[" + b",".join([b"[" * 31 + b"]" * 31] * 2_000) + b"]",
        b"[" + b",".join([b"1"] * 65_000) + b"]",
        b'["\\u0041\\\\u0000",' + b",".join([b"[]"] * 43_000) + b"]",
    ],
    ids=["lists", "objects", "deep lists", "numbers", "an escape"],
)
def test_many_small_values_cost_no_call_of_python_each(body: bytes) -> None:
    """The loop waits meanwhile. Only objects need one, for their keys."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += frame.f_code.co_filename == decoder.__file__ and event == "call" and frame.f_code.co_name != "_unique"

    sys.setprofile(count)
    try:
        decode(body)
    finally:
        sys.setprofile(None)
    assert calls < 10


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800", "\\udfff", "\\ude00\\ud83d", "\\ud83d \\ude00", "\\uD83D"])
@pytest.mark.parametrize("around", ['"{}"', '["x{}y"]', '{{"a":{{"b":["{}"]}}}}', '{{"{}":1}}', '[{{"a{}":null}}]'])
def test_escaped_nul_and_lone_surrogates_are_refused_in_texts_and_keys(escape: str, around: str) -> None:
    """[R6]"""
    assert code_of(around.format(escape).encode()) == "invalid_text"


@pytest.mark.parametrize("raw", [b'"\0"', b'{"a\0":1}', b'"\xed\xa0\x80"', b'{"\xed\xbf\xbf":1}', b'"\n"', b"\0"])
def test_raw_nul_and_lone_surrogates_are_refused_in_texts_and_keys(raw: bytes) -> None:
    """[R6]"""
    assert code_of(raw) == "invalid_json"


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"😀"', '{"\\ud83d\\ude00":"\\ud83d\\ude00"}', '"\\\\u0000"'])
def test_surrogate_pairs_and_escaped_backslashes_are_fine(text: str) -> None:
    """[R6]"""
    assert decode(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "body", [b"\xff", b'"\xc3"', b'"\xc0\x80"', '"é"'.encode("latin-1"), '{"a":1}'.encode("utf-16")]
)
def test_what_is_not_utf_8_is_refused(body: bytes) -> None:
    assert code_of(body) == "invalid_json"


def test_a_byte_order_mark_is_skipped() -> None:
    assert decode(b"\xef\xbb\xbf" + b'{"a":1}') == {"a": 1}
    assert decode_leniently(b"\xef\xbb\xbf" + b'{"a":1}') == {"a": 1}


@pytest.mark.parametrize("body", [b"", b" ", b"{", b'{"a"}', b"[1,]", b"{'a':1}", b"nul", b"{} {}", b'"'])
def test_malformed_json_gets_a_sentence_with_the_place(body: bytes) -> None:
    """[H1]"""
    with pytest.raises(Refused, match=r"^Malformed JSON at character [0-9]+: ") as refused:
        decode(body)
    assert refused.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (b'{"a":1,"a":2}', {"a": 2.0}),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}),
        (b'{"a":1e999}', {"a": float("inf")}),
        (b'{"a":-Infinity}', {"a": float("-inf")}),
        (b'{"a":' + b"9" * 5000 + b"}", {"a": float("inf")}),
        (b"nonsense", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_the_lenient_reader_sees_what_the_strict_one_refuses(body: bytes, seen: Any) -> None:
    """[K10]"""
    assert decode_leniently(body) == seen


@pytest.mark.parametrize(
    ("text", "storable"),
    [
        ("", True),
        ("x", True),
        ("😀", True),
        ("\ud7ff\ue000", True),
        ("\0", False),
        ("a\ud800", False),
        ("\udfff", False),
    ],
)
def test_what_can_be_stored_is_known(text: str, storable: bool) -> None:
    """[R6]"""
    assert is_storable(text) is storable


def test_an_encoder_refuses_what_is_not_json() -> None:
    with pytest.raises(TypeError):
        encode(object())


@pytest.mark.parametrize("number", ["-0", "-0.0", "-0e5", "-0.00E-10"])
def test_a_zero_with_a_minus_is_a_zero(number: str) -> None:
    """[R6] It is stored and shown without: there are no prices with a sign."""
    assert encode(decode(number.encode())) == number.removeprefix("-").encode()
