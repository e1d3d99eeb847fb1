"""Container logs on disk, as a container runtime writes them."""

from datetime import UTC, datetime
from pathlib import Path


def append(
    path: Path, *lines: str, stream: str = "stderr", written_at: datetime | None = None
) -> None:
    """Add whole lines to a log in the CRI format."""
    at = written_at or datetime.now(tz=UTC)
    stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
    with path.open("a", encoding="utf-8") as log:
        log.write("".join(f"{stamp} {stream} F {line}\n" for line in lines))
