"""Which tokens name a caller: real signatures by real keys, whose document is parsed as the provider's is."""

import hashlib
import hmac
import json
import time
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from app.config.config import Settings
from app.models.callers import Caller, Scope
from app.models.errors import TokensUnverifiable, Unauthenticated
from app.services import jwt_verifier
from app.services.jwks import ProviderKeys
from app.services.jwt_verifier import JwtVerifier
from app.services.key_set import UnusableKeys, parse
from app.utils.alarms import Alarms
from tests.harness.provider import ALGORITHMS, AUDIENCE, ISSUER, Signer, good_claims, jwks, segment, signer

READ_AND_WRITE = frozenset({Scope.READ, Scope.WRITE})
SHOP = Caller("shop", READ_AND_WRITE)
RSA, EC, ED = (signer(algorithm, "first") for algorithm in ALGORITHMS)
LEEWAY = 30


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def keys_of(*signers: Signer) -> ProviderKeys:
    """The keys of a provider that was asked once; its thread does not run."""
    keys = ProviderKeys("https://provider.example", "", ALGORITHMS, Alarms())
    keys.current = parse(jwks(*signers), ALGORITHMS) if signers else None
    return keys


def verifier(
    *signers: Signer, keys: ProviderKeys | None = None, clock: Any = time.time, **variables: str
) -> JwtVerifier:
    configured = Settings.load({"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE, **variables})
    return JwtVerifier(configured, keys or keys_of(*(signers or (RSA, EC, ED))), clock)


def refusal(token: str, verifier: JwtVerifier) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verifier.verify(token)
    return str(refused.value)


def forged(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    return f"{segment(json.dumps(header).encode())}.{segment(json.dumps(payload).encode())}.{segment(signature)}"


@pytest.mark.parametrize("one", [RSA, EC, ED], ids=ALGORITHMS)
def test_a_good_token_names_its_caller(one: Signer) -> None:
    assert verifier().verify(one.token()) == SHOP


# Who signed


@pytest.mark.parametrize("one", [RSA, EC, ED], ids=ALGORITHMS)
def test_a_token_that_was_changed_is_refused(one: Signer) -> None:
    header, payload, signature = one.token().split(".")
    _, other, _ = one.token(sub="owner").split(".")
    assert refusal(f"{header}.{other}.{signature}", verifier()) == "The token is not valid"
    for broken in ("", "AAAA", signature[:-4], signature + "AAAA", "!" * 86, signature + "=" * 9):
        assert refusal(f"{header}.{payload}.{broken}", verifier()) == "The token is not valid"


@pytest.mark.parametrize("one", [RSA, EC, ED], ids=ALGORITHMS)
def test_the_same_key_id_with_another_key_is_refused(one: Signer) -> None:
    other = Signer(one.algorithm, one.kid, signer(one.algorithm, "stranger").private, {})
    assert refusal(other.token(), verifier()) == "The token is not valid"


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", "HS256", "RS384", "PS256", "ES384", "rs256", "A128KW"]
)
def test_an_algorithm_that_is_not_in_the_list_is_refused(algorithm: str) -> None:
    assert refusal(forged({"alg": algorithm, "kid": "first"}, good_claims()), verifier()) == "The token is not valid"


def test_a_public_key_is_no_secret_of_hs256() -> None:
    """The oldest forgery: the public key, which everybody has, as the secret of an HMAC."""
    public = RSA.private.public_key()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    secrets = [
        public.public_bytes(serialization.Encoding.PEM, info),
        public.public_bytes(serialization.Encoding.DER, info),
        json.dumps(RSA.jwk).encode(),
    ]
    for secret in secrets:
        for name in ("HS256", "RS256"):
            signed = forged({"alg": name, "kid": "first"}, good_claims()).rpartition(".")[0]
            token = f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
            assert refusal(token, verifier()) == "The token is not valid"


def test_a_token_cannot_choose_another_algorithm_than_its_key_has() -> None:
    for one in (RSA, EC, ED):
        for algorithm in {*ALGORITHMS} - {one.algorithm}:
            renamed = forged({"alg": algorithm, "kid": one.kid}, good_claims(), b"x" * 64)
            assert refusal(renamed, verifier(one)) == "The token is signed with a key that the service does not know"


def test_a_key_that_a_token_brings_along_is_ignored() -> None:
    stranger = signer("RS256", "stranger")
    for brought in (
        {"jwk": stranger.jwk},
        {"jku": "http://127.0.0.1:1/"},
        {"x5u": "http://127.0.0.1:1/"},
        {"x5c": ["AA"]},
    ):
        assert refusal(stranger.token(headers={**brought, "kid": "first"}), verifier()) == "The token is not valid"
        assert verifier().verify(RSA.token(headers=brought)) == SHOP


def test_a_critical_extension_is_refused() -> None:
    """Also the one that PyJWT knows: the token is good but for that."""
    headers: list[dict[str, Any]] = [{"crit": ["exp"], "exp": 1}, {"crit": ["b64"], "b64": True}, {"crit": []}]
    for header in headers:
        token = forged({"alg": "EdDSA", "kid": ED.kid, **header}, good_claims())
        signed = token.rpartition(".")[0]
        token = f"{signed}.{segment(ED.private.sign(signed.encode()))}"
        assert refusal(token, verifier()) == "The token is not valid"


def test_without_a_key_id_the_only_fitting_key_is_used() -> None:
    assert verifier(RSA, EC).verify(RSA.without_key_id()) == SHOP
    two = verifier(RSA, signer("RS256", "second"), EC)
    assert refusal(RSA.without_key_id(), two) == "The token is signed with a key that the service does not know"


def test_two_keys_of_different_kinds_may_share_an_id() -> None:
    both = verifier(RSA, EC)
    assert both.verify(RSA.token()) == both.verify(EC.token()) == SHOP


def test_an_algorithm_that_is_switched_off_is_refused() -> None:
    strict = verifier(JWT_ALGORITHMS="ES256,EdDSA")
    assert refusal(RSA.token(), strict) == "The token is not valid"
    assert strict.verify(EC.token()) == SHOP


def test_what_is_no_token_is_refused_without_a_signature_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt_verifier, "_is_signed", None)  # a call would raise TypeError
    header = RSA.token().partition(".")[0]
    nothing = [
        "",
        "x",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c.d.e",
        "ä.b.c",
        "\udc80.b.c",
        "{}.{}.",
        f"{header}.b.c.d.e",
        f"{header}.b",
    ]
    headers = [b"[]", b"null", b'"x"', b"{}", b"{", b"[" * 900, b"\xff", b'{"alg":1}', b'{"alg":"RS256","kid":1}']
    headers += [b'{"alg":"RS256","kid":["first"]}', b'{"alg":"RS256","alg":"RS256"}', b'{"alg":"HS256","kid":"first"}']
    for token in [*nothing, *(f"{segment(made)}.e30.AAAA" for made in headers), RSA.token(pad="x" * 8192)]:
        assert refusal(token, verifier()) == "The token is not valid"


# What it says


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"iss": ISSUER + "/"}, "The token comes from another issuer"),
        ({"iss": ISSUER.upper()}, "The token comes from another issuer"),
        ({"iss": [ISSUER]}, "The token comes from another issuer"),
        ({"iss": None}, "The token must have the claims exp, iss and aud"),
        ({"aud": "order"}, "The token is for another audience"),
        ({"aud": "orders2"}, "The token is for another audience"),
        ({"aud": ["other", "others"]}, "The token is for another audience"),
        ({"aud": ["orders", 1]}, "The token is for another audience"),
        ({"aud": {"orders": 1}}, "The token is for another audience"),
        ({"aud": []}, "The token must have the claims exp, iss and aud"),
        ({"aud": None}, "The token must have the claims exp, iss and aud"),
        ({"exp": None}, "The token must have the claims exp, iss and aud"),
        ({"exp": "soon"}, "The token is not valid"),
        ({"exp": [9999999999]}, "The token is not valid"),
        ({"nbf": "soon"}, "The token is not valid"),
        ({"iat": "soon"}, "The token is not valid"),
        ({"sub": 1}, "The token is not valid"),
        ({"sub": ""}, "The token names no caller in its claim sub"),
    ],
)
def test_a_claim_that_is_wrong_is_refused(claims: dict[str, Any], sentence: str) -> None:
    said = {name: value for name, value in {**good_claims(), **claims}.items() if value is not None}
    assert refusal(RSA.token(said), verifier()) == sentence


@pytest.mark.parametrize("aud", ["orders", ["orders"], ["other", "orders"], "shop-api"])
def test_the_audience_is_one_of_ours(aud: object) -> None:
    assert verifier(JWT_AUDIENCE="orders,shop-api").verify(RSA.token(aud=aud)) == SHOP


@pytest.mark.parametrize("leeway", [0, LEEWAY, 60])
def test_the_leeway_is_for_the_clocks(leeway: int) -> None:
    now, some = time.time(), 5
    goods: list[dict[str, Any]] = [{"exp": now - leeway + some}, {"nbf": now + leeway - 1}, {"iat": now + leeway - 1}]
    for good in goods:
        assert verifier(JWT_LEEWAY_SECONDS=str(leeway)).verify(RSA.token(**good)) == SHOP
    late = RSA.token(exp=int(now) - leeway)
    early = [RSA.token(nbf=now + leeway + some), RSA.token(iat=now + leeway + some)]
    assert refusal(late, verifier(JWT_LEEWAY_SECONDS=str(leeway))) == "The token has expired"
    for token in early:
        assert refusal(token, verifier(JWT_LEEWAY_SECONDS=str(leeway))) == "The token is not valid yet"


@pytest.mark.parametrize("name", ["x" * 256, "a\nb", "a\x00", "\x1b[31m", " a", "a ", "\u202e", "\ud800", "a\u2028b"])
def test_a_name_that_could_not_stand_in_a_log_is_refused(name: str) -> None:
    assert refusal(RSA.token(sub=name), verifier()) == "The token names no caller in its claim sub"


@pytest.mark.parametrize("name", ["x", "x" * 255, "Jörg Müller", "service-account-shop", "日本語"])
def test_a_name_may_have_all_that_prints(name: str) -> None:
    assert verifier().verify(RSA.token(sub=name)).name == name


@pytest.mark.parametrize("name", [None, 1, ["shop"], {}])
def test_a_name_is_a_text(name: object) -> None:
    by_client = verifier(JWT_NAME_CLAIM="client_id")
    assert refusal(RSA.token(client_id=name), by_client) == "The token names no caller in its claim client_id"
    assert by_client.verify(RSA.token(client_id="till")).name == "till"


@pytest.mark.parametrize(
    ("path", "claims", "scopes"),
    [
        ("scope", {"scope": "orders:read"}, {Scope.READ}),
        ("scope", {"scope": " operator  orders:read "}, {Scope.READ, Scope.OPERATOR}),
        ("scope", {"scope": "Orders:Read orders:reader xorders:read"}, set()),
        ("scope", {"scope": ["orders:read", "orders:write", "orders:read", 1, None, ["operator"]]}, READ_AND_WRITE),
        ("scope", {"scope": {"operator": True}}, set()),
        ("scope", {"scope": ["orders:read orders:write"]}, set()),
        ("scp", {"scope": "operator", "scp": "orders:read"}, {Scope.READ}),
        ("permissions", {"permissions": ["orders:write"]}, {Scope.WRITE}),
        ("permissions", {}, set()),
        ("realm_access.roles", {"realm_access": {"roles": ["operator", "user"]}}, {Scope.OPERATOR}),
        ("realm_access.roles", {"realm_access": ["operator"]}, set()),
        ("https://orders.example/roles", {"https://orders.example/roles": ["operator"]}, {Scope.OPERATOR}),
    ],
)
def test_the_scopes_come_from_the_claim_that_is_set(path: str, claims: dict[str, Any], scopes: set[Scope]) -> None:
    said = {**good_claims(), "scope": "", **claims}
    assert verifier(JWT_SCOPES_CLAIM=path).verify(RSA.token(said)).scopes == scopes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


ANY = verifier()


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "scope"]), json_values, min_size=1
    )
)
def test_whatever_a_signed_token_says_the_outcome_is_a_caller_or_a_refusal(claims: dict[str, Any]) -> None:
    token = EC.sign(json.dumps({**good_claims(), **claims}).encode(), {"kid": "first"})
    with suppress(Unauthenticated):
        assert isinstance(ANY.verify(token), Caller)


# What is remembered


def count_signature_checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    checked: list[str] = []
    before = jwt_verifier._is_signed

    def counted(credential: str, key: Any) -> bool:
        checked.append(credential)
        return before(credential, key)

    monkeypatch.setattr(jwt_verifier, "_is_signed", counted)
    return checked


def test_a_verified_token_is_remembered_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    checked, clock, token = count_signature_checks(monkeypatch), Clock(), RSA.token()
    remembering = verifier(clock=clock)
    for seconds, checks in ((0, 1), (59.9, 1), (0.2, 2), (59.0, 2)):
        clock.now += seconds
        assert remembering.verify(token) == SHOP
        assert len(checked) == checks


def test_it_is_forgotten_when_it_expires() -> None:
    clock = Clock()
    remembering = verifier(clock=clock, JWT_LEEWAY_SECONDS="0")
    token = RSA.token(exp=int(clock.now) + 2)
    assert remembering.verify(token) == SHOP
    clock.now += 2  # the token is good for a moment yet by the real clock, so only what is remembered can be told
    assert [known.until <= clock.now for known in remembering._verified.values()] == [True]


def test_other_keys_end_what_is_remembered() -> None:
    """A key that the provider withdraws counts no longer, also for a token that was seen a moment ago."""
    keys, token = keys_of(RSA, EC), RSA.token()
    remembering = verifier(keys=keys)
    assert remembering.verify(token) == SHOP
    keys.current = parse(jwks(EC), ALGORITHMS)
    assert refusal(token, remembering) == "The token is signed with a key that the service does not know"


def test_a_bounded_number_is_remembered_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt_verifier, "MAX_CACHED", 3)
    checked, remembering = count_signature_checks(monkeypatch), verifier()
    tokens = [ED.token(jti=str(number)) for number in range(4)]
    for token in [*tokens, *tokens[1:], tokens[0]]:
        remembering.verify(token)
    assert checked == [*tokens, tokens[0]]
    assert len(remembering._verified) == 3


def test_what_is_refused_is_not_remembered() -> None:
    remembering = verifier()
    for number in range(100):
        refusal(RSA.token(aud="other", jti=str(number)), remembering)
    assert remembering._verified == {}


def test_a_token_of_one_service_does_not_stand_in_memory() -> None:
    """Its SHA-256 does."""
    remembering, token = verifier(), RSA.token()
    remembering.verify(token)
    assert list(remembering._verified) == [hashlib.sha256(token.encode()).digest()]


# Keys


def test_without_any_key_nobody_can_tell_whether_a_token_is_good() -> None:
    with pytest.raises(TokensUnverifiable) as unverifiable:
        verifier(keys=keys_of()).verify(RSA.token())
    assert unverifiable.value.code == "service_busy"
    assert refusal("nonsense", verifier(keys=keys_of())) == "The token is not valid"


def small_rsa() -> dict[str, Any]:
    return RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)  # noqa: S505  # the test is about it


UNUSABLE: dict[str, Any] = {
    "no object": 1,
    "no kind": {"kid": "x"},
    "a secret": {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "x"},
    "for encryption": {**RSA.jwk, "use": "enc"},
    "for another algorithm": {**RSA.jwk, "alg": "RSA-OAEP"},
    "for PSS": {**RSA.jwk, "alg": "PS256"},
    "for signing": {**RSA.jwk, "key_ops": ["sign"]},
    "a private RSA key": RSAAlgorithm.to_jwk(RSA.private, as_dict=True),
    "a private EC key": ECAlgorithm.to_jwk(EC.private, as_dict=True),
    "too short": small_rsa(),
    "another curve": ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True),
    "Ed448": OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True),
    "kid no text": {**RSA.jwk, "kid": 1},
    "kty no text": {**RSA.jwk, "kty": ["RSA"]},
    "crv no text": {**EC.jwk, "crv": {"P-256": 1}},
    "key_ops no list": {**RSA.jwk, "key_ops": 1},
    "no modulus": {"kty": "RSA", "e": "AQAB"},
    "modulus no text": {**RSA.jwk, "n": 5},
    "modulus not base64": {**RSA.jwk, "n": "ä"},
    "an even exponent": {**RSA.jwk, "e": "AQAA"},
    "not on the curve": {**EC.jwk, "y": EC.jwk["x"]},
    "a short coordinate": {**EC.jwk, "y": "AAAA"},
    "a short Ed25519": {**ED.jwk, "x": "AAAA"},
}


@pytest.mark.parametrize("jwk", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_key_that_is_not_fit_is_left_out_and_the_others_are_used(jwk: Any) -> None:
    with pytest.raises(UnusableKeys, match="none of its 1 keys may verify a token"):
        parse(json.dumps({"keys": [jwk]}).encode(), ALGORITHMS)
    found = parse(json.dumps({"keys": [jwk, ED.jwk]}).encode(), ALGORITHMS)
    assert [key.key_id for key in found.keys] == ["first"]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([RSA, EC, ED]), st.dictionaries(st.sampled_from([*RSA.jwk, *EC.jwk, "d", "key_ops"]), json_values)
)
def test_whatever_a_key_says_it_is_used_or_left_out(one: Signer, members: dict[str, Any]) -> None:
    text = json.dumps({"keys": [{**one.jwk, **members}, ED.jwk]}).encode()
    with suppress(UnusableKeys):  # the whole document: NaN, or a lone surrogate
        assert parse(text, ALGORITHMS).keys


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[1]}',
        pytest.param(b"[" * 5000, id="deep"),
        pytest.param(jwks(*[ED] * 101), id="101 keys"),  # other keys in each process that collects the tests
    ],
)
def test_what_is_no_jwks_is_refused(document: bytes) -> None:
    with pytest.raises(UnusableKeys):
        parse(document, ALGORITHMS)


def test_only_keys_for_the_algorithms_that_are_set_are_used() -> None:
    assert [key.algorithm_name for key in parse(jwks(RSA, EC, ED), ("ES256",)).keys] == ["ES256"]


def test_a_member_that_is_null_counts_as_missing() -> None:
    nulls = dict.fromkeys(["alg", "use", "key_ops", "crv", "d"])
    (key,) = parse(json.dumps({"keys": [{**RSA.jwk, **nulls}]}).encode(), ALGORITHMS).keys
    assert key.key_id == "first"


def test_a_key_without_an_algorithm_gets_that_of_its_kind() -> None:
    bare = {name: value for name, value in RSA.jwk.items() if name not in ("alg", "use")}
    keys = keys_of()
    keys.current = parse(json.dumps({"keys": [bare]}).encode(), ALGORITHMS)
    assert verifier(keys=keys).verify(RSA.token()) == SHOP
