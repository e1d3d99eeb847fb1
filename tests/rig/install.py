"""Installs the servers of the rig: `python -m tests.rig.install [PIECE…]`.

Every piece comes from a package registry, through that registry's ordinary client, into one cache
folder outside the tree. A piece is built beside its place and moved there when it is whole,
with a stamp named after a hash of its recipe: a second call finds the stamp and does nothing.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
KUBERNETES_VERSION = "1.34.4"
VERSION_PACKAGE = "k8s.io/component-base/version"
EXIT_FAILED = 1
EXIT_TOOLS_MISSING = 3

HOW_TO_GET = {
    "go": "Go 1.24 or newer, with its bin folder on PATH",
    "java": "a Java runtime, 17 or newer (Debian: apt-get install default-jre-headless)",
    "mvn": "Maven (Debian: apt-get install maven)",
    "apt-get": "Debian's package client (the rig runs on Debian)",
    "dpkg-deb": "Debian's package tool (Debian: apt-get install dpkg)",
    "openssl": "OpenSSL's command (Debian: apt-get install openssl)",
    "setpriv": "setpriv of util-linux (Debian: apt-get install util-linux)",
}


class InstallFailed(Exception):
    """A step of a recipe failed."""


class ToolsMissing(Exception):
    """The machine lacks programs the recipes or the servers need; the message names them all."""


@dataclass(frozen=True)
class Piece:
    """One thing to install: what it needs, what its recipe is, how its folder is filled."""

    name: str
    tools: tuple[str, ...]
    recipe: tuple[str | Path, ...]
    fill: Callable[[Path], None]
    waits_on: str
    found: Callable[[], bool] = lambda: False

    @property
    def stamp(self) -> Path:
        digest = hashlib.sha256()
        for part in self.recipe:
            digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
            digest.update(b"\0")
        return cache() / self.name / f"stamp-{digest.hexdigest()[:16]}"

    @property
    def ready(self) -> bool:
        return self.stamp.exists() or self.found()


def cache() -> Path:
    """Return the folder the servers live in."""
    chosen = os.environ.get("KUBEARMOR_MONITOR_RIG")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "kubearmor-monitor" / "rig"


def place(name: str) -> Path:
    """Return the folder of one piece, installed first when it is not there yet."""
    install((name,))
    return cache() / name


def install(names: Sequence[str]) -> None:
    """Install what is missing of the named pieces."""
    wanted = [PIECES[name] for name in names]
    require_tools(wanted)
    if all(piece.ready for piece in wanted):
        return
    with _only_installer():
        _fill([piece for piece in wanted if not piece.ready])


def require_tools(pieces: Sequence[Piece]) -> None:
    """Name every missing program at once."""
    needed = {tool for piece in pieces for tool in piece.tools}
    missing = sorted(tool for tool in needed if shutil.which(tool) is None)
    if missing:
        lines = [f"  {tool}: {HOW_TO_GET[tool]}" for tool in missing]
        heading = "the test rig needs programs that are missing here:"
        raise ToolsMissing("\n".join((heading, *lines)))


@contextmanager
def _only_installer() -> Iterator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another install to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(missing: Sequence[Piece]) -> None:
    """Compile on the cores while the other pieces come over the network, one after another."""
    compiled = [piece for piece in missing if "go" in piece.tools]
    fetched = [piece for piece in missing if "go" not in piece.tools]
    with ThreadPoolExecutor(max_workers=2) as lanes:
        for done in [lanes.submit(_fill_each, lane) for lane in (compiled, fetched)]:
            done.result()


def _fill_each(pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        _fill_one(piece)


def _fill_one(piece: Piece) -> None:
    began = time.monotonic()
    _say(f"{piece.name}: waiting on {piece.waits_on}")
    partial = cache() / f"{piece.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    piece.fill(partial)
    (partial / piece.stamp.name).touch()
    shutil.rmtree(piece.stamp.parent, ignore_errors=True)
    partial.rename(piece.stamp.parent)
    _say(f"{piece.name}: installed in {time.monotonic() - began:.0f} s")


GO_SMALL = ("-trimpath", "-ldflags", "-s -w")


def _go_flags() -> tuple[str, ...]:
    major, minor, _ = KUBERNETES_VERSION.split(".")
    version = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
    stamped = " ".join(f"-X {VERSION_PACKAGE}.{name}={value}" for name, value in version.items())
    return ("-trimpath", "-ldflags", f"-s -w {stamped}")


GO_COMMANDS = (
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-scheduler",
    "go.etcd.io/etcd/server/v3",
)
KWOK_COMMAND = "sigs.k8s.io/kwok/cmd/kwok"


def _fill_kubernetes(target: Path) -> None:
    _go_build(GO_COMMANDS, target=target, module=HERE / "kubernetes", flags=_go_flags())
    (target / "server").rename(target / "etcd")


def _fill_kwok(target: Path) -> None:
    _go_build((KWOK_COMMAND,), target=target, module=HERE / "kwok", flags=GO_SMALL)


def _go_build(commands: Sequence[str], *, target: Path, module: Path, flags: Sequence[str]) -> None:
    _run(
        ("go", "build", *flags, "-o", f"{target}/", *commands),
        folder=module,
        environment={"CGO_ENABLED": "0", "GOGC": "400"},
    )


def _fill_kafka(target: Path) -> None:
    copy = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}")
    _run(("mvn", "-q", "-B", "-ntp", *copy), folder=HERE / "kafka")


def _fill_prometheus(target: Path) -> None:
    try:
        _run(("apt-get", "-q", "download", "prometheus"), folder=target)
    except InstallFailed:
        _say("prometheus: asking for a newer list of packages")
        _run(("apt-get", "-q", "update"), folder=target)
        _run(("apt-get", "-q", "download", "prometheus"), folder=target)
    (archive,) = target.glob("prometheus_*.deb")
    unpacked = target / "unpacked"
    _run(("dpkg-deb", "-x", str(archive), str(unpacked)), folder=target)
    for program in ("prometheus", "promtool"):
        (unpacked / "usr/bin" / program).rename(target / program)
    shutil.rmtree(unpacked)
    archive.unlink()


def _fill_chromium(target: Path) -> None:
    packages = ("chromium", "fonts-dejavu-core")
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ("apt-get", "-q", "install", "-y", "--no-install-recommends", *packages)
    try:
        _run(command, folder=target, environment=environment)
    except InstallFailed:
        _say("chromium: asking for a newer list of packages")
        _run(("apt-get", "-q", "update"), folder=target)
        _run(command, folder=target, environment=environment)


PIECES: Mapping[str, Piece] = {
    piece.name: piece
    for piece in (
        Piece(
            name="kubernetes",
            tools=("go", "openssl", "setpriv"),
            recipe=(
                HERE / "kubernetes/go.mod",
                HERE / "kubernetes/go.sum",
                *_go_flags(),
                *GO_COMMANDS,
            ),
            fill=_fill_kubernetes,
            waits_on="go build (some minutes the first time)",
        ),
        Piece(
            name="kwok",
            tools=("go", "setpriv"),
            recipe=(HERE / "kwok/go.mod", HERE / "kwok/go.sum", *GO_SMALL, KWOK_COMMAND),
            fill=_fill_kwok,
            waits_on="go build (a minute or two the first time)",
        ),
        Piece(
            name="kafka",
            tools=("mvn", "java", "setpriv"),
            recipe=(HERE / "kafka/pom.xml",),
            fill=_fill_kafka,
            waits_on="mvn dependency:copy-dependencies",
        ),
        Piece(
            name="prometheus",
            tools=("apt-get", "dpkg-deb", "setpriv"),
            recipe=("prometheus and promtool of Debian's prometheus package",),
            fill=_fill_prometheus,
            waits_on="apt-get download",
        ),
        Piece(
            name="chromium",
            tools=("apt-get",),
            recipe=("never stamped: the program itself is what is looked for",),
            fill=_fill_chromium,
            waits_on="apt-get install",
            found=lambda: shutil.which("chromium") is not None,
        ),
    )
}


def _run(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str] | None = None
) -> None:
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output = _output_of(process, shown=" ".join(command[:2]))
    if process.returncode:
        tail = "\n".join(output.splitlines()[-25:])
        raise InstallFailed(f"{' '.join(command)} (exit {process.returncode})\n{tail}")


def _output_of(process: subprocess.Popen[str], *, shown: str) -> str:
    began = time.monotonic()
    while True:
        try:
            return process.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            _say(f"still waiting on {shown} after {time.monotonic() - began:.0f} s")


def _say(text: str) -> None:
    sys.stderr.write(f"rig: {text}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    unknown = [name for name in arguments if name not in PIECES]
    if unknown:
        _say(f"no such piece: {', '.join(unknown)}; there are {', '.join(PIECES)}")
        return EXIT_FAILED
    began = time.monotonic()
    try:
        install(tuple(arguments) or tuple(PIECES))
    except ToolsMissing as error:
        _say(str(error))
        return EXIT_TOOLS_MISSING
    except InstallFailed as error:
        _say(str(error))
        return EXIT_FAILED
    _say(f"everything is in {cache()} ({time.monotonic() - began:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
