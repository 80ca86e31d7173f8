"""The provider's keys over real sockets: a provider that is away, slow, flooded by made-up tokens, or has new keys.

The holder's thread runs only where a test is about it; elsewhere `step` gets the time by value.
"""

import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import trustme

from app.config.config import Settings
from app.models.errors import TokensUnverifiable, Unauthenticated
from app.services import jwks as holder
from app.services import jwks_fetch
from app.services.jwks import COOL_DOWN_SECONDS, FETCH_SECONDS, OLD_SECONDS, REFRESH_SECONDS, ProviderKeys
from app.services.jwks_fetch import MAX_BYTES, FetchError, fetch
from app.services.jwt_verifier import JwtVerifier
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.limits import THREADS_STOP_SECONDS
from app.utils.supervisor import SupervisedThread
from tests.harness.provider import ALGORITHMS, AUDIENCE, ISSUER, Provider, running, segment, send, signer
from tests.harness.service import Instance
from tests.harness.waiting import until

FIRST, SECOND = signer("ES256", "first"), signer("ES256", "second")
HOUR = 3600.0
QUICK = 0.3  # seconds that a fetch may take in a test about slow providers


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running(FIRST) as made:
        yield made


@pytest.fixture
def alarms() -> Alarms:
    return Alarms()


@pytest.fixture
def keys(provider: Provider, alarms: Alarms) -> ProviderKeys:
    return ProviderKeys(provider.url, "", ALGORITHMS, alarms)


@pytest.fixture
def verifier(keys: ProviderKeys) -> JwtVerifier:
    return JwtVerifier(Settings.load({"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}), keys)


def key_ids(keys: ProviderKeys) -> set[str | None]:
    return set() if keys.current is None else {key.key_id for key in keys.current.keys}


def walk(keys: ProviderKeys, since: float, seconds: float) -> float:
    """Let the holder look once a second for so long by its clock; return the time after that."""
    for second in range(int(seconds)):
        keys.step(since + second)
    return since + seconds


# Away


def test_the_provider_may_be_away_for_an_hour(
    provider: Provider, keys: ProviderKeys, verifier: JwtVerifier, alarms: Alarms
) -> None:
    keys.step(0.0)
    provider.stop()
    now = walk(keys, 1.0, OLD_SECONDS - 1)
    assert alarms.all() == {}
    now = walk(keys, now, HOUR)
    assert "the last good ones are used: ConnectionRefusedError" in alarms.all()["jwks"]
    assert verifier.verify(FIRST.token()).name == "shop"
    assert keys.part()["ok"] is False
    provider.start()
    walk(keys, now, COOL_DOWN_SECONDS)
    assert alarms.all() == {}
    assert keys.part() == {"ok": True, "keys": 1, "seconds_old": keys.part()["seconds_old"], "reason": None}


def test_a_start_without_the_provider_heals_when_it_comes(
    provider: Provider, keys: ProviderKeys, verifier: JwtVerifier, alarms: Alarms
) -> None:
    """Until then nobody can tell whether a token is good, so a caller may try again: 503, not 401."""
    provider.stop()
    keys.step(0.0)
    with pytest.raises(TokensUnverifiable):
        verifier.verify(FIRST.token())
    assert "since the start, requests with a token are answered 503" in alarms.all()["jwks"]
    provider.start()
    keys.step(COOL_DOWN_SECONDS)
    assert verifier.verify(FIRST.token()).name == "shop"
    assert alarms.all() == {}


@pytest.mark.parametrize("document", [b"<html>maintenance</html>", b'{"keys": []}', b"x" * (MAX_BYTES + 1)])
def test_a_bad_document_leaves_the_keys_as_they_are(provider: Provider, keys: ProviderKeys, document: bytes) -> None:
    keys.step(0.0)
    provider.answer = lambda request: send(request, document)
    keys.step(REFRESH_SECONDS)
    assert key_ids(keys) == {"first"}
    assert keys.part()["reason"]


@pytest.mark.parametrize("status", [204, 301, 302, 307, 404, 500, 503])
def test_another_answer_than_200_is_a_failure(provider: Provider, status: int) -> None:
    """A redirect too: it could lead to plain http, or into the own network."""
    provider.answer = lambda request: send(request, b"", status, Location=provider.url)
    with pytest.raises(FetchError, match=f"it answered {status}"):
        fetch(provider.url, "", QUICK)
    assert provider.fetches == 1


def test_a_host_that_cannot_be_one_is_a_failure() -> None:
    with pytest.raises(FetchError, match="label empty or too long"):
        fetch(f"https://{'a' * 64}.example/", "", QUICK)


# Slow


def trickle(request: BaseHTTPRequestHandler, closing: threading.Event, before: bytes) -> None:
    """Send `before`, then a byte every 50 ms for ever."""
    request.wfile.write(before)
    while not closing.wait(0.05):
        request.wfile.write(b"x")


def silence(provider: Provider) -> None:
    """Say nothing until the test ends."""
    provider.closing.wait(30)


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\n\r\n"], ids=str)
def test_a_byte_at_a_time_does_not_hold_the_fetch(provider: Provider, before: bytes) -> None:
    provider.answer = lambda request: trickle(request, provider.closing, before)
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"it did not answer within 0\.3 s"):
        fetch(provider.url, "", QUICK)
    assert time.monotonic() - began < 10  # the bytes come for as long as the test lasts


def test_each_read_has_what_is_left_of_the_time() -> None:
    """Whatever time limit the socket had before."""
    ours, other = socket.socketpair()
    with ours, other:
        ours.settimeout(60)
        began = time.monotonic()
        with closing(jwks_fetch._Bytes(ours, Deadline(QUICK))) as received, pytest.raises(TimeoutError):
            received.readinto(bytearray(1))
        assert time.monotonic() - began < 30


def test_a_document_without_end_is_not_read_to_its_end(provider: Provider) -> None:
    def flood(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not provider.closing.is_set():
            request.wfile.write(b" " * (1 << 16))

    provider.answer = flood
    with pytest.raises(FetchError, match=f"it answered more than {MAX_BYTES} bytes"):
        fetch(provider.url, "", 30)


def test_no_answer_at_all_does_not_hold_the_fetch(provider: Provider) -> None:
    provider.answer = lambda request: silence(provider)
    with pytest.raises(FetchError, match="it did not answer within"):
        fetch(provider.url, "", QUICK)


def test_while_the_provider_is_slow_tokens_are_verified_at_once(
    provider: Provider, keys: ProviderKeys, verifier: JwtVerifier
) -> None:
    keys.step(0.0)
    asked = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        asked.set()
        silence(provider)

    provider.answer = slow
    thread = threading.Thread(target=keys.step, args=(REFRESH_SECONDS,))
    thread.start()
    assert asked.wait(30)
    began = time.process_time()
    assert verifier.verify(FIRST.token()).name == "shop"
    with pytest.raises(Unauthenticated):
        verifier.verify(SECOND.token())
    assert time.process_time() - began < 1.0
    assert thread.is_alive()  # the fetch still waits; the tokens did not
    provider.closing.set()
    thread.join()


# Made-up key ids


def test_ten_thousand_made_up_key_ids_cost_one_fetch_and_no_signature_check(
    provider: Provider, keys: ProviderKeys, verifier: JwtVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.step(0.0)
    good = [FIRST.token(jti=str(number)) for number in range(8)]
    for token in good:
        verifier.verify(token)
    monkeypatch.setattr("app.services.jwt_verifier._is_signed", None)  # a call would raise TypeError
    made_up = FIRST.token(headers={"kid": "#####"}).split(".")
    header = '{"alg":"ES256","kid":"%s"}'
    for number in range(10_000):
        text = segment((header % number).encode())
        with pytest.raises(Unauthenticated):
            verifier.verify(f"{text}.{made_up[1]}.{made_up[2]}")
        assert verifier.verify(good[number % 8]).name == "shop"
        keys.step(1.0 + number / 1200)  # 9 s by the holder's clock
    assert provider.fetches == 1
    keys.step(COOL_DOWN_SECONDS)
    assert provider.fetches == 2


def test_the_cool_down_counts_from_the_attempt_also_when_attempts_fail(provider: Provider, keys: ProviderKeys) -> None:
    provider.answer = lambda request: send(request, b"", 500)
    for second in range(60):
        keys.ask()
        keys.step(float(second))
    assert provider.fetches == 60 / COOL_DOWN_SECONDS


# Rotation


def test_a_new_key_counts_within_a_minute_without_being_asked_for(provider: Provider, keys: ProviderKeys) -> None:
    """[S4]"""
    keys.step(0.0)
    provider.publish(FIRST, SECOND)
    walk(keys, 1.0, 60 - 1 - FETCH_SECONDS)
    assert key_ids(keys) == {"first", "second"}
    provider.publish(SECOND)
    walk(keys, 60.0, 60 - FETCH_SECONDS)
    assert key_ids(keys) == {"second"}


def test_a_token_under_a_new_key_makes_it_count_sooner(
    provider: Provider, keys: ProviderKeys, verifier: JwtVerifier
) -> None:
    keys.step(0.0)
    provider.publish(FIRST, SECOND)
    with pytest.raises(Unauthenticated):
        verifier.verify(SECOND.token())
    keys.step(COOL_DOWN_SECONDS)
    assert verifier.verify(SECOND.token()).name == "shop"


def test_who_asks_during_a_fetch_gets_another_one(provider: Provider, keys: ProviderKeys) -> None:
    """What is being fetched may be older than the key that the token has."""

    def asked_meanwhile(request: BaseHTTPRequestHandler) -> None:
        keys.ask()
        provider.serve(request)

    provider.answer = asked_meanwhile
    keys.step(0.0)
    keys.step(COOL_DOWN_SECONDS)
    assert provider.fetches == 2


def test_the_thread_finds_a_new_key_and_stops_in_time(
    provider: Provider, keys: ProviderKeys, verifier: JwtVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holder, "COOL_DOWN_SECONDS", 0.2)
    thread = SupervisedThread("keys", keys.run)
    thread.start()
    try:
        until(lambda: key_ids(keys), "the first keys")
        provider.publish(SECOND)
        with pytest.raises(Unauthenticated):
            verifier.verify(SECOND.token())
        until(lambda: key_ids(keys) == {"second"}, "the new keys")
        assert verifier.verify(SECOND.token()).name == "shop"
    finally:
        thread.ask_to_stop()
        assert thread.join(THREADS_STOP_SECONDS)
    assert (thread.restarts, thread.last_error) == (0, None)


def test_a_running_service_follows_its_provider(provider: Provider, settings: dict[str, str], tmp_path: Path) -> None:
    """[S4] The thread of a real process: new keys count, old ones no longer."""
    named = {"AUTH_MODE": "jwt", "JWT_JWKS_URL": provider.url, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
    instance = Instance(tmp_path, settings | named | {"READYZ_ACCESS": "open"})

    def status(token: str) -> int:
        asked = urllib.request.Request(f"{instance.url}/orders", headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    instance.start()
    try:
        until(lambda: instance.parts()["jwks"]["ok"], "the first keys")
        assert (status(FIRST.token()), status(SECOND.token())) == (200, 401)
        provider.publish(SECOND)
        until(lambda: status(SECOND.token()) == 200, "the new key", 60)
        assert status(FIRST.token()) == 401
        assert instance.stuck_threads() == []
    finally:
        instance.stop()
    assert "eyJ" not in instance.log_text()  # no part of a token


# TLS


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


def file_of(authority: trustme.CA, folder: Path) -> str:
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return str(folder / "ca.pem")


def test_the_file_of_authorities_is_read_at_each_fetch(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    ca_file = file_of(trustme.CA(), tmp_path)
    with running(FIRST, tls=serving(authority, "127.0.0.1")) as provider:
        with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(provider.url, ca_file, FETCH_SECONDS)
        assert file_of(authority, tmp_path) == ca_file
        assert b'"first"' in fetch(provider.url, ca_file, FETCH_SECONDS)


def test_https_needs_a_certificate_of_the_authority_for_the_host(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    ca_file = file_of(authority, tmp_path)
    with running(FIRST, tls=serving(authority, "127.0.0.1")) as provider:
        assert b'"first"' in fetch(provider.url, ca_file, FETCH_SECONDS)
        with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(provider.url, "", FETCH_SECONDS)
        with pytest.raises(FetchError, match="No such file"):
            fetch(provider.url, str(tmp_path / "missing.pem"), FETCH_SECONDS)
        provider.answer = lambda request: trickle(request, provider.closing, b"HTTP/1.1 200 OK\r\n")
        with pytest.raises(FetchError, match="it did not answer within"):
            fetch(provider.url, ca_file, QUICK)
    with (
        running(FIRST, tls=serving(authority, "other.example")) as provider,
        pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        fetch(provider.url, ca_file, FETCH_SECONDS)
