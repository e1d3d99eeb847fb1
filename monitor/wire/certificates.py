"""X.509 certificates, as far as the question goes until when they are good.

The standard library shows the dates of a peer's certificate only after it has verified it, which is
just what cannot be done with one that has expired. RFC 5280 puts the date at a fixed place.
"""

import re
from base64 import b64decode
from datetime import UTC, datetime
from typing import Final, NamedTuple

_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----"
)
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_BEFORE_VALIDITY: Final = 3  # serial number, signature algorithm, issuer


class _Element(NamedTuple):
    tag: int
    start: int
    end: int


def pem_good_until(text: bytes) -> float:
    """Return when the first certificate of a PEM file ends; raise ValueError as `good_until`."""
    bodies = [b"".join(body.split()) for body in _PEM.findall(text)]
    if not bodies:
        raise ValueError("there is no certificate in it")
    return min(good_until(b64decode(body, validate=True)) for body in bodies)


def good_until(der: bytes) -> float:
    """Return a certificate's notAfter in Unix seconds. Raises ValueError for what is none."""
    certificate = _inside(der, _element(der, 0))
    parts = _inside(der, certificate[0]) if certificate else []
    parts = parts[1:] if parts and parts[0].tag == _VERSION else parts
    if len(parts) <= _BEFORE_VALIDITY:
        raise ValueError("no X.509 certificate")
    validity = _inside(der, parts[_BEFORE_VALIDITY])
    if len(validity) != 2:
        raise ValueError("a certificate without validity")
    return _time(der, validity[1])


def _inside(der: bytes, element: _Element) -> list[_Element]:
    if element.tag != _SEQUENCE:
        raise ValueError("no X.509 certificate")
    members, at = [], element.start
    while at < element.end:
        members.append(_element(der, at))
        at = members[-1].end
    return members


def _element(der: bytes, at: int) -> _Element:
    if at + 2 > len(der):
        raise ValueError("the certificate ends too early")
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    if start + length > len(der):
        raise ValueError("the certificate ends too early")
    return _Element(tag, start, start + length)


def _time(der: bytes, element: _Element) -> float:
    text = der[element.start : element.end].decode("ascii", "replace")
    if element.tag == _UTC_TIME:
        # Two digits of the year: from 50 on they are of the last century (RFC 5280, 4.1.2.5.1).
        text = f"{'19' if text[:2] >= '50' else '20'}{text}"
    elif element.tag != _GENERALIZED_TIME:
        raise ValueError("a certificate without an end")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
