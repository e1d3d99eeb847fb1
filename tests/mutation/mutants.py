"""Every decision of the judgement, broken once: the mutants, read from the source of the core.

A mutant is one edit of one module. None is written down: the source is walked for what decides (a
release's switch and each place that reads it, a rule for a cause, a branch of the judgement, the
cause that it names, the releases that a remedy is for), so what is added to the core is broken too.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

ROOT: Final = Path(__file__).parents[2]
CORE: Final = ROOT / "monitor" / "core"
TABLES: Final = ("semantics.py", "host_semantics.py")
RULES: Final = "reasons.py"
DECIDING: Final[dict[str, frozenset[str]]] = {
    "semantics.py": frozenset({"reaches_young_namespaces", "behaviour"}),
    "host_semantics.py": frozenset({"host_behaviour"}),
    "judgement.py": frozenset(),
    "question.py": frozenset(),
    "attachment.py": frozenset(),
    "proof.py": frozenset(),
    "silence.py": frozenset(),
    "prediction.py": frozenset(),
    "collision.py": frozenset(),
    "draws.py": frozenset(),
    "reading.py": frozenset(),
    "sight.py": frozenset(),
    "apparmor.py": frozenset(),
    "defaults.py": frozenset(),
    "host_policies.py": frozenset(),
    "containers.py": frozenset({"exempt", "unsupported", "_beyond_reach", "mode"}),
    "nodes.py": frozenset(
        {
            "phase",
            "_is_replaced",
            "ending",
            "ready_since",
            "answers",
            "seen_starting",
            "follows",
            "is_beyond_reach",
        }
    ),
    "health.py": frozenset(),
    "causes/entry.py": frozenset({"concerns", "remedy_on"}),
}
"""The modules in which causes are decided, and in which functions; none named are all of them."""
BEHAVIOURS: Final = frozenset({"_behaviour", "behaviour", "known", "meaning"})
"""What a release's row of a table is called where it is read."""

Kind: TypeAlias = str


class Mutant(Struct, frozen=True):
    """One edit: from `start` to `end` (bytes of the file) stands `text` instead.

    `subject` is what is broken (a switch, a rule's cause, a function) and `how` says in what way.
    """

    path: str
    line: int
    kind: Kind
    subject: str
    how: str
    start: int
    end: int
    text: str

    @property
    def sentence(self) -> str:
        return f"{self.path}:{self.line}: {self.kind} {self.subject}: {self.how}"

    @property
    def module(self) -> str:
        parts = Path(self.path).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def source(self) -> bytes:
        """The module's source as the mutant has it."""
        whole = (ROOT / self.path).read_bytes()
        return whole[: self.start] + self.text.encode() + whole[self.end :]


class _Source:
    """A module's source and where its nodes stand in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw = path.read_bytes()
        self.tree = ast.parse(self.raw)
        self._lines = [0]
        for line in self.raw.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._lines[node.lineno - 1] + node.col_offset
        return start, self._lines[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr) -> str:
        start, end = self.span(node)
        return self.raw[start:end].decode()

    def replaced(self, node: ast.expr, text: str, *, kind: Kind, subject: str, how: str) -> Mutant:
        start, end = self.span(node)
        return self._mutant(node, (start, end), text, kind=kind, subject=subject, how=how)

    def begun(self, function: ast.FunctionDef, text: str, *, subject: str, how: str) -> Mutant:
        """A function that does something else before all that it did."""
        first = function.body[0]
        start, _ = self.span(first)
        text = f"{text}\n{' ' * first.col_offset}"
        return self._mutant(first, (start, start), text, kind="rule", subject=subject, how=how)

    def _mutant(
        self,
        node: ast.expr | ast.stmt,
        span: tuple[int, int],
        text: str,
        *,
        kind: Kind,
        subject: str,
        how: str,
    ) -> Mutant:
        return Mutant(
            path=self.path.relative_to(ROOT).as_posix(),
            line=node.lineno,
            kind=kind,
            subject=subject,
            how=how,
            start=span[0],
            end=span[1],
            text=text,
        )


def mutants() -> list[Mutant]:
    """All of them, in the order in which they stand in the files."""
    found = [
        *(one for name in TABLES for one in _of_table(_Source(CORE / name))),
        *_of_switches(switches()),
        *_of_rules(_Source(CORE / RULES)),
        *(
            one
            for name, functions in DECIDING.items()
            for one in _of_decisions(_Source(CORE / name), functions)
        ),
        *(one for path in sorted((CORE / "causes").glob("*.py")) for one in _of_remedies(path)),
    ]
    edits = {(one.path, one.start, one.end, one.text): one for one in found}
    return [edits[edit] for edit in sorted(edits)]


# --- tables of releases -------------------------------------------------------------------------


@cache
def switches() -> frozenset[str]:
    """The names of all switches: the fields of the two tables' rows."""
    return frozenset(
        statement.target.id
        for name in TABLES
        for part in _Source(CORE / name).tree.body
        if isinstance(part, ast.ClassDef)
        for statement in part.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    )


def _of_table(source: _Source) -> Iterator[Mutant]:
    """Each value of each row as it is not, and each row's release one later."""
    names = switches()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.keyword) and node.arg in names:
            yield from _other_values(source, node.arg, node.value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in names:
                    yield from _other_values(source, str(key.value), value)
        elif isinstance(node, ast.Tuple) and _is_version(node):
            text = source.text(node)
            later = f"{text[: text.rindex(',')]}, {_number(node.elts[2]) + 1})"
            yield source.replaced(node, later, kind="version", subject=text, how=f"is {later}")


def _other_values(source: _Source, name: str, value: ast.expr) -> Iterator[Mutant]:
    def other(text: str) -> Mutant:
        return source.replaced(value, text, kind="switch", subject=name, how=f"is {text}")

    if isinstance(value, ast.Tuple):
        for left_out in value.elts:
            kept = [source.text(one) for one in value.elts if one is not left_out]
            yield other(f"({', '.join(kept)}{',' if kept else ''})")
    elif isinstance(value, ast.Constant) and isinstance(value.value, bool):
        yield other(str(not value.value))
    else:
        yield other("'list'" if source.text(value) != '"list"' else "'pattern'")


def _is_version(node: ast.Tuple) -> bool:
    return len(node.elts) == 3 and all(
        isinstance(one, ast.Constant) and isinstance(one.value, int) for one in node.elts
    )


def _number(node: ast.expr) -> int:
    assert isinstance(node, ast.Constant)
    assert isinstance(node.value, int)
    return node.value


def _of_switches(names: frozenset[str]) -> Iterator[Mutant]:
    """Each place where a release's behaviour is read, as if it were the other one."""
    for path in sorted(CORE.rglob("*.py")):
        source = _Source(path)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and node.attr in names:
                if source.text(node.value).rpartition(".")[2] in BEHAVIOURS:
                    yield from _other_reading(source, node)
            elif isinstance(node, ast.Compare) and source.text(node.left) == "self._host_names":
                yield _negated(source, node, kind="reading", subject="host_names")


def _other_reading(source: _Source, node: ast.Attribute) -> Iterator[Mutant]:
    name = node.attr
    if name == "pattern_keys":
        yield source.replaced(node, "()", kind="reading", subject=name, how="is empty")
    elif name != "host_names":
        yield _negated(source, node, kind="reading", subject=name)


# --- rules for causes ---------------------------------------------------------------------------


def _of_rules(source: _Source) -> Iterator[Mutant]:
    """Each rule as if nothing ever showed its cause, as if all did, and without its guards."""
    functions = {one.name: one for one in source.tree.body if isinstance(one, ast.FunctionDef)}
    for cause, name in rules().items():
        function = functions[name]
        yield source.begun(function, "return None", subject=cause, how="never answers")
        yield source.begun(function, "return 'always'", subject=cause, how="always answers")
        yield from _of_branches(source, function)


def rules() -> dict[str, str]:
    """The functions that look for a cause, by the cause."""
    for part in _Source(CORE / RULES).tree.body:
        if (
            isinstance(part, ast.AnnAssign)
            and isinstance(part.target, ast.Name)
            and part.target.id == "RULES"
            and isinstance(part.value, ast.Tuple)
        ):
            return {
                str(cause.value): function.id
                for pair in part.value.elts
                if isinstance(pair, ast.Tuple)
                for cause, function in [pair.elts]
                if isinstance(cause, ast.Constant) and isinstance(function, ast.Name)
            }
    raise LookupError("no table of rules")


# --- decisions ----------------------------------------------------------------------------------


def _of_decisions(source: _Source, functions: frozenset[str]) -> Iterator[Mutant]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef) and (not functions or node.name in functions):
            yield from _of_branches(source, node)
            yield from _of_named_causes(source, node)


def _of_branches(source: _Source, function: ast.FunctionDef) -> Iterator[Mutant]:
    """Each branch never taken, each choice and each answer the other way round."""
    name = function.name
    for node in ast.walk(function):
        if isinstance(node, ast.If):
            yield source.replaced(
                node.test, "False", kind="branch", subject=name, how="is never taken"
            )
        elif isinstance(node, ast.IfExp):
            yield _negated(source, node.test, kind="choice", subject=name)
        elif isinstance(node, ast.Return) and _is_condition(node.value):
            assert node.value is not None
            yield _negated(source, node.value, kind="answer", subject=name)


def _negated(source: _Source, node: ast.expr, *, kind: Kind, subject: str) -> Mutant:
    text = f"(not ({source.text(node)}))"
    return source.replaced(node, text, kind=kind, subject=subject, how="is negated")


def _is_condition(node: ast.expr | None) -> bool:
    negation = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return negation or isinstance(node, ast.Compare | ast.BoolOp)


def _of_named_causes(source: _Source, function: ast.FunctionDef) -> Iterator[Mutant]:
    """Each cause that is named, as if it were another one."""
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and node.value in codes():
            other = "'daemon-hung'" if node.value == "unexplained" else "'unexplained'"
            yield source.replaced(
                node, other, kind="cause", subject=function.name, how=f"{node.value} is {other}"
            )


@cache
def codes() -> frozenset[str]:
    """The codes of all causes."""
    return frozenset(
        str(keyword.value.value)
        for path in (CORE / "causes").glob("*.py")
        for node in ast.walk(_Source(path).tree)
        if isinstance(node, ast.Call) and _called(node) == "Cause"
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    )


# --- remedies -----------------------------------------------------------------------------------


def _of_remedies(path: Path) -> Iterator[Mutant]:
    """Each bound of a remedy for certain releases, one release later or none."""
    source = _Source(path)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _called(node) == "ReleaseRemedy":
            for keyword in node.keywords:
                if keyword.arg in {"since", "before"}:
                    yield _other_bound(source, keyword)


def _other_bound(source: _Source, keyword: ast.keyword) -> Mutant:
    assert keyword.arg is not None
    assert isinstance(keyword.value, ast.Constant)
    bound = str(keyword.value.value)
    major_minor, _, patch = bound.rpartition(".")
    other = f"'{major_minor}.{int(patch) + 1}'" if bound else "'v1.6.5'"
    return source.replaced(
        keyword.value,
        other,
        kind="remedy",
        subject=keyword.arg,
        how=f"{bound or 'open'} is {other}",
    )


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""
