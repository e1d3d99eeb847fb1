"""Reads a Dockerfile, and carries its steps out in a folder instead of an image."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

NOBODY = 65534


@dataclass
class Stage:
    """One FROM and what follows it."""

    image: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def arguments(self, instruction: str) -> list[str]:
        return [text for name, text in self.steps if name == instruction]

    @property
    def environment(self) -> dict[str, str]:
        pairs = [pair for text in self.arguments("ENV") for pair in shlex.split(text)]
        return dict(pair.split("=", 1) for pair in pairs)


def stages(path: Path) -> list[Stage]:
    """Split a Dockerfile into stages; comments and line continuations are resolved."""
    found: list[Stage] = []
    for line in _logical_lines(path.read_text()):
        instruction, _, text = line.partition(" ")
        if instruction == "FROM":
            image, _, name = text.partition(" AS ")
            found.append(Stage(image=image, name=name))
        else:
            found[-1].steps.append((instruction, text.strip()))
    return found


def _logical_lines(text: str) -> Iterator[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            yield re.sub(r"\s+", " ", line.strip())


@dataclass(frozen=True)
class Container:
    """A folder that stands for an image's file system, used by somebody without any right."""

    root: Path
    source: Path
    python: str = sys.executable

    def inside(self, text: str, *, folder: str) -> str:
        """Return a command with its absolute paths moved below the root."""
        moved = re.sub(r"(?<![\w.])/(opt|src)\b", rf"{self.root}/\1", text)
        if moved.startswith("python "):
            moved = self.python + moved.removeprefix("python")
        return f"cd {self.root}{folder} && {moved}"

    def copy(self, text: str, *, folder: str) -> None:
        *sources, target = text.split()
        destination = self.root / folder.lstrip("/") / target
        for name in sources:
            source = self.source / name
            ignored = shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, destination, ignore=ignored, dirs_exist_ok=True)
            else:
                destination.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, destination)

    def run(self, command: str, *, environment: dict[str, str]) -> str:
        """Run a shell command as nobody (or as who we are, where we may not change that)."""
        become = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
        prefix = become if os.geteuid() == 0 else ()
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PIP_", "SSL_")) or name.lower().endswith("_proxy")
        }
        finished = subprocess.run(
            (*prefix, "sh", "-euc", command),
            cwd=self.root,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.root), **inherited, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"
        return finished.stdout

    def own(self) -> None:
        """Give everything below the root to whom `run` runs as."""
        if os.geteuid() == 0:
            for path in (self.root, *self.root.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
