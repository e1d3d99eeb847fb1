"""The page as it is delivered: self-contained, inert towards markup, complete."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest

from monitor.core.causes import Nature
from tests.board.texts import (
    BOARD,
    CAUSE_TEXTS,
    FINDING_TEXTS,
    cause_texts,
    finding_texts,
)

PAGE = (BOARD / "index.html").read_text()
SCRIPT = (BOARD / "board.js").read_text()
STYLE = (BOARD / "style.css").read_text()


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(PAGE)

    def handle_starttag(  # type: ignore[explicit-override]
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        self.found.append((tag, dict(attrs)))


ELEMENTS = Elements().found
IDS = [attributes["id"] for _, attributes in ELEMENTS if "id" in attributes]


def test_nothing_in_the_page_needs_inline_script_or_style() -> None:
    inline = [
        (tag, name)
        for tag, attributes in ELEMENTS
        for name in attributes
        if name == "style" or name.startswith("on")
    ]
    assert (inline, "<style" in PAGE, re.findall(r"<script(?![^>]*\bsrc=)", PAGE)) == (
        [],
        False,
        [],
    )


def test_every_file_the_page_names_lies_beside_it() -> None:
    named = [
        value
        for _, attributes in ELEMENTS
        for name, value in attributes.items()
        if name in {"src", "href"} and value is not None and not value.startswith("#")
    ]
    assert named == ["icon.svg", "style.css", "board.js"]
    assert all((BOARD / name).is_file() for name in named)


@pytest.mark.parametrize("text", [PAGE, SCRIPT, STYLE], ids=["page", "script", "style"])
def test_nothing_is_fetched_from_elsewhere(text: str) -> None:
    addresses = set(re.findall(r"(?:https?:)?//[a-z][^\s\"'`)]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_the_script_sets_text_and_never_markup() -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function"
    assert re.findall(forbidden, SCRIPT) == []


def test_ids_are_unique() -> None:
    assert len(IDS) == len(set(IDS))


def test_every_element_the_script_looks_up_is_in_the_page() -> None:
    looked_up = set(re.findall(r'byId\("([^"]+)"\)', SCRIPT))
    assert looked_up <= set(IDS)


def test_every_verdict_has_a_symbol() -> None:
    (verdicts,) = re.findall(r"const VERDICTS = \[(.*?)\];", SCRIPT, flags=re.DOTALL)
    names = re.findall(r'name: "([^"]+)"', verdicts)
    assert len(names) == 8
    assert {f"i-{name}" for name in names} <= set(IDS)


def test_labels_name_what_they_describe() -> None:
    references = {
        value
        for _, attributes in ELEMENTS
        for name, value in attributes.items()
        if name in {"aria-labelledby", "list"}
    }
    assert references <= set(IDS)


@pytest.mark.parametrize(
    ("file", "table"),
    [(CAUSE_TEXTS, cause_texts()), (FINDING_TEXTS, finding_texts())],
    ids=["causes", "findings"],
)
def test_the_boards_texts_are_those_of_the_tables(file: Path, table: str) -> None:
    assert file.read_text() == table, "write them anew: python -m tests.board.texts"


def test_the_script_reads_both_texts() -> None:
    assert re.findall(r'"(\w+\.json)"', SCRIPT) == [CAUSE_TEXTS.name, FINDING_TEXTS.name]


def test_every_nature_of_findings_has_words() -> None:
    (natures,) = re.findall(r"const NATURES = \{(.*?)\n\};", SCRIPT, flags=re.DOTALL)
    named = re.findall(r'^  "?([\w-]+)"?: \{ tone', natures, flags=re.MULTILINE)
    assert set(named) == set(get_args(Nature))


def test_every_part_of_the_page_is_in_the_navigation_in_its_order() -> None:
    linked = [
        str(attributes["href"]).removeprefix("#")
        for tag, attributes in ELEMENTS
        if tag == "a" and attributes.get("href") != "#main"
    ]
    parts = [attributes["id"] for tag, attributes in ELEMENTS if tag == "section"]
    assert parts == ["state", *linked]
