"""Until when a certificate is good, read from its bytes."""

import ssl
import subprocess
from pathlib import Path

import pytest

from monitor.wire.certificates import good_until, pem_good_until
from tests.sources.certificates import Authority

NOON = 1_893_499_200.0  # 2030-01-01T12:00:00Z
SEQUENCE, VERSION, INTEGER, UTC_TIME, GENERALIZED_TIME = b"\x30", b"\xa0", b"\x02", b"\x17", b"\x18"


def element(tag: bytes, *members: bytes) -> bytes:
    """Write one element of DER."""
    body = b"".join(members)
    if len(body) < 128:
        return tag + bytes([len(body)]) + body
    return tag + b"\x82" + len(body).to_bytes(2, "big") + body


def certificate(*validity: bytes, version: bytes = element(VERSION, b"\x02\x01\x02")) -> bytes:
    """Write what comes before the public key of a certificate, and nothing after."""
    serial, algorithm, issuer = element(INTEGER, b"\x01"), element(SEQUENCE), element(SEQUENCE)
    dates = element(SEQUENCE, *validity)
    padding = element(INTEGER, b"\x00" * 200)
    return element(SEQUENCE, element(SEQUENCE, version, serial, algorithm, issuer, dates, padding))


BEGIN = element(UTC_TIME, b"290101120000Z")


@pytest.mark.parametrize(
    ("der", "until"),
    [
        (certificate(BEGIN, element(UTC_TIME, b"300101120000Z")), NOON),
        (certificate(BEGIN, element(GENERALIZED_TIME, b"20300101120000Z")), NOON),
        (certificate(BEGIN, element(UTC_TIME, b"300101120000Z"), version=b""), NOON),
        (certificate(BEGIN, element(UTC_TIME, b"700101000000Z")), 0.0),
    ],
)
def test_the_end_is_read_in_every_form(der: bytes, until: float) -> None:
    assert good_until(der) == until


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x82\xff\xff",
        b"not a certificate",
        element(SEQUENCE),
        element(SEQUENCE, element(SEQUENCE, element(INTEGER, b"\x01"))),
        certificate(BEGIN),
        certificate(BEGIN, element(INTEGER, b"\x01")),
        certificate(BEGIN, element(UTC_TIME, b"tomorrow")),
    ],
)
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        good_until(der)


def test_a_real_certificate_ends_when_openssl_says_so(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("server")
    shown = subprocess.run(
        ("openssl", "x509", "-enddate", "-noout", "-in", str(pair.certificate)),
        check=True,
        capture_output=True,
        text=True,
    )
    end = ssl.cert_time_to_seconds(shown.stdout.strip().removeprefix("notAfter="))
    assert pem_good_until(pair.certificate.read_bytes()) == end


def test_a_chain_ends_with_its_first_certificate_to_end() -> None:
    later = certificate(BEGIN, element(UTC_TIME, b"310101120000Z"))
    sooner = certificate(BEGIN, element(UTC_TIME, b"300101120000Z"))
    chain = "\n".join(map(ssl.DER_cert_to_PEM_cert, (later, sooner)))
    assert pem_good_until(f"a comment\n{chain}".encode()) == NOON


def test_a_file_without_certificates_is_refused() -> None:
    with pytest.raises(ValueError, match="no certificate in it"):
        pem_good_until(b"-----BEGIN PRIVATE KEY-----")
