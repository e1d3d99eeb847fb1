"""Chance that is the same in every run."""

from random import Random


def chance(seed: int = 7) -> Random:
    return Random(seed)
