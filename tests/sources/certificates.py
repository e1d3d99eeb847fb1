"""Throw-away certificates of a throw-away authority, made by openssl."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """Files of PEM."""

    certificate: Path
    key: Path


class Authority:
    """An authority in a folder; `certificate` is what its clients trust."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._pair = self._make("authority", "-x509", "-days", "2", "-subj", "/CN=test authority")

    @property
    def certificate(self) -> Path:
        return self._pair.certificate

    def issue(self, name: str, *, subject_names: str = "IP:127.0.0.1") -> Pair:
        """Issue a certificate for a server or a client."""
        return self._make(
            name,
            "-x509", "-days", "2", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName={subject_names}",
            "-CA", str(self._pair.certificate), "-CAkey", str(self._pair.key),
        )  # fmt: skip

    def _make(self, name: str, *arguments: str) -> Pair:
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        command = (
            "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", str(pair.key), "-out", str(pair.certificate), *arguments,
        )  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        return pair
