"""Certificates of tests: CAs by trustme, files as Kafka and its clients read them."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

LONG_AGO = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Keyed:
    """A certificate with the CAs between, and its key in PKCS8, both in PEM."""

    chain: bytes
    key: bytes

    def write_both(self, path: Path) -> Path:
        """Write key and chain into one file, as a broker's key store has them; in one step, as a tool for it would."""
        return write(path, self.key + self.chain)

    def with_password(self, password: str) -> bytes:
        """Return the key encrypted."""
        key = load_pem_private_key(self.key, None)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))


def issue(ca: trustme.CA, *names: str, common_name: str | None = None, expired: bool = False) -> Keyed:
    """Return a certificate for the names."""
    begin, end = (LONG_AGO, LONG_AGO + datetime.timedelta(days=1)) if expired else (None, None)
    made = ca.issue_cert(
        *names,
        common_name=common_name,
        organization_name="tests",  # a running broker takes no new certificate with another subject
        organization_unit_name="tests",
        not_before=begin,
        not_after=end,
    )
    key = load_pem_private_key(made.private_key_pem.bytes(), None)
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Keyed(b"".join(pem.bytes() for pem in made.cert_chain_pems), plain)


def bundle(*cas: trustme.CA) -> bytes:
    """Return the CAs' certificates in PEM."""
    return b"".join(ca.cert_pem.bytes() for ca in cas)


def write(path: Path, content: bytes) -> Path:
    """Replace the file in one step."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    new.replace(path)
    return path
