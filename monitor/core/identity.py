"""Stable identities: the same facts give the same id in any process."""

import hashlib


def digest(*parts: str) -> str:
    """SHA-256 over the parts, in hexadecimal."""
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
