"""Certificates by an authority of a test's own, as PEM files."""

import asyncio
from pathlib import Path
from typing import Self

from msgspec import Struct

from tests.rig.processes import run_once


class Certificates(Struct, frozen=True):
    """What two parties on 127.0.0.1 need to know each other: `made` writes the files."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "authority.crt"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def bundle(self, name: str) -> Path:
        """Key and certificate in one file."""
        return self.folder / f"{name}.pem"

    @classmethod
    async def made(cls, folder: Path, *names: str) -> Self:
        """Make an authority and a certificate for each name."""
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        made = cls(folder)
        await made._issue("authority")
        for name in names:
            await made._issue(name, by="authority")
            pair = (made.key(name), made.certificate(name))
            made.bundle(name).write_text("".join(file.read_text() for file in pair))
        return made

    async def _issue(self, name: str, *, by: str | None = None) -> None:
        extensions = ("-addext", "subjectAltName=IP:127.0.0.1") if by else ()
        signed = ("-CA", str(self.certificate(by)), "-CAkey", str(self.key(by))) if by else ()
        await run_once(
            (
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
                *("-subj", f"/CN={name}", *extensions, *signed),
                *("-keyout", str(self.key(name)), "-out", str(self.certificate(name))),
            )
        )
