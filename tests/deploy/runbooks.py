"""The runbooks' page: of each cause and finding what the table says and what only the page says.

`python -m tests.deploy.runbooks` writes the table's part anew and keeps the rest.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from monitor.core.causes import CAUSES, FINDINGS, RUNBOOKS, Cause, Entry, FindingKind
from tests.deploy.observability import DEPLOY

PAGE: Final = DEPLOY.parent / RUNBOOKS
WIDTH: Final = 100
OWN: Final = ("*See it yourself.*", "*If you do nothing.*", "*Healed when*")
SCOPES: Final = {
    "node": "one incident per node",
    "daemonset": "one incident per DaemonSet",
    "release": "one incident per policy and release",
    "policy": "one incident per policy",
    "container": "no incident",
}
CODES: Final = (*CAUSES, *(code for code in FINDINGS if code not in CAUSES))


def paragraphs(section: str) -> list[str]:
    """The paragraphs and list items of a section, each on one line."""
    parts = re.split(r"\n\n|\n(?=- )", section.strip())
    return [" ".join(part.split()) for part in parts]


def sections(page: str) -> dict[str, list[str]]:
    """What the page says of each code and alert."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    bodies = (re.sub(r"^# .*", "", body, flags=re.MULTILINE) for body in parts[2::2])
    return dict(zip(parts[1::2], map(paragraphs, bodies), strict=True))


def said(code: str) -> Iterator[str]:
    """What the table says of a code, paragraph by paragraph."""
    if code in CAUSES:
        yield from _entry(CAUSES[code], _cause(CAUSES[code]))
    if code in FINDINGS:
        yield from _entry(FINDINGS[code], _finding(FINDINGS[code]))


def _cause(cause: Cause) -> str:
    return f"{', '.join(cause.verdicts)}; {SCOPES[cause.scope]}"


def _finding(kind: FindingKind) -> str:
    return f"finding; {kind.kind}"


def _entry(entry: Entry, kind: str) -> Iterator[str]:
    yield f"**{entry.title}** ({kind})"
    yield entry.what
    yield f"*Shown by* {', '.join(entry.sources)} ({entry.certainty}). {entry.shown_by}"
    yield f"*What to do.* {entry.remedy}"
    yield from (f"- {special.text}" for special in entry.remedies)


def composed(page: str) -> str:
    """The page as it should be: the table's part from the table, the rest as it is."""
    introduction, _, _ = page.partition("# Causes\n")
    _, heading, alerts = page.partition("# Alerts\n")
    own = {
        code: [one for one in found if one.startswith(OWN)]
        for code, found in sections(page).items()
    }
    causes = "".join(_section(code, own) for code in CAUSES)
    findings = "".join(_section(code, own) for code in FINDINGS if code not in CAUSES)
    return f"{introduction}# Causes\n\n{causes}# Findings\n\n{findings}{heading}{alerts}"


def _section(code: str, own: Mapping[str, list[str]]) -> str:
    text = f"## {code}\n"
    before = ""
    for one in (*said(code), *own.get(code, ())):
        text += "" if before.startswith("- ") and one.startswith("- ") else "\n"
        text += wrapped(one)
        before = one
    return f"{text}\n"


def wrapped(paragraph: str) -> str:
    """A paragraph in lines; what stands between backticks is never broken."""
    hang = "  " if paragraph.startswith("- ") else ""
    lines = [""]
    for word in re.findall(r"(?:`[^`]*`|[^\s`])+", paragraph):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WIDTH:
            lines.append(hang + word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(composed(PAGE.read_text()))
