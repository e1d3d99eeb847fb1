"""What a benchmark answers: figures beside their budgets, and how they are printed."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct


class Figure(Struct, frozen=True, kw_only=True):
    """One thing measured.

    `budget` is the least it must be (`least`) or what it must not reach (`most`); without one it is
    there to be compared. `note` says what it was measured on, or beside what.
    """

    what: str
    value: float
    unit: str
    budget: float | None = None
    kind: Literal["least", "most"] = "least"
    note: str = ""

    @property
    def met(self) -> bool:
        if self.budget is None:
            return True
        return self.value >= self.budget if self.kind == "least" else self.value < self.budget

    @property
    def ratio(self) -> float | None:
        """The figure as a multiple of its budget."""
        return None if self.budget is None else self.value / self.budget


class Outcome(Struct, frozen=True, kw_only=True):
    """What one benchmark measured, or why it could not."""

    name: str
    figures: tuple[Figure, ...] = ()
    failure: str = ""


def rounded(value: float) -> str:
    """Write three significant digits, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def told(outcome: Outcome) -> str:
    """Write an outcome for people."""
    if outcome.failure:
        return f"{outcome.name}\n  NOT MEASURED: {outcome.failure}"
    lines = [line for figure in outcome.figures for line in _lines(figure)]
    return "\n".join((outcome.name, *lines))


def summary(outcomes: Iterable[Outcome]) -> str:
    """Say how many budgets were met."""
    figures = [figure for outcome in outcomes for figure in outcome.figures]
    held = [figure for figure in figures if figure.budget is not None]
    met = sum(figure.met for figure in held)
    return f"{met} of {len(held)} budgets met"


def _lines(figure: Figure) -> Iterable[str]:
    value = f"{rounded(figure.value)} {figure.unit}".rstrip()
    line = f"  {figure.what}: {value}"
    if figure.budget is not None and figure.ratio is not None:
        sign = "≥" if figure.kind == "least" else "<"
        verdict = "met" if figure.met else "NOT MET"
        budget = f"budget {sign} {rounded(figure.budget)} {figure.unit}".rstrip()
        line += f"   {budget}   {figure.ratio:.2f} of budget   {verdict}"
    yield line
    if figure.note:
        yield f"      {figure.note}"
