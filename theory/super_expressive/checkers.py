"""Do one-weight families realise labelings? Exactly in integers, and where floating point first fails.

Main definitions: `exact_labels`, `shattered_exactly`, `realised_in_float`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from constructions.errors import require_choice, require_instance, require_int, shown
from constructions.super_expressive import FAMILIES, MOST_POINTS, EUAFFamily, OneWeightFamily, SineFamily, network
from theory.claim import Report

MOST_ENUMERATED = 20
LONGEST_FLOAT = 500  # labels whose weight 4^k a float64 can hold


@dataclass(frozen=True)
class OneWeightReport(Report):
    """`labelings` of k points were decided exactly.

    `margin` is the least |σ − 1/2| (EUAF) or distance of the phase to an integer (sine).
    """

    points: int
    labelings: int
    margin: Fraction
    failure: str | None


def exact_labels(name: str, weight: int, k: int) -> tuple[list[bool], Fraction]:
    """(labels of the k points, least margin) of the integer weight, in integers.

    With p = w mod 2·base^i the phase w·x_i mod 2 is p/base^i. EUAF is p/base^i up to 1 and 2 − p/base^i beyond,
    compared with 1/2; the sine of π·phase is positive for 0 < phase < 1.
    """
    family = _family(name)
    require_instance("weight", weight, int)
    require_int("k", k, 1, MOST_POINTS)
    labels, margin = [], Fraction(1)
    for i in range(1, k + 1):
        scale = family.base**i
        phase = Fraction(weight % (2 * scale), scale)
        label, distance = LABEL_OF_PHASE[type(family)](phase)
        labels.append(label)
        margin = min(margin, distance)
    return labels, margin


def _label_of_euaf(phase: Fraction) -> tuple[bool, Fraction]:
    value = min(phase, 2 - phase)
    return value > Fraction(1, 2), abs(value - Fraction(1, 2))


def _label_of_sine(phase: Fraction) -> tuple[bool, Fraction]:
    return 0 < phase < 1, min(phase % 1, 1 - phase % 1)


LABEL_OF_PHASE = {EUAFFamily: _label_of_euaf, SineFamily: _label_of_sine}
"""Family -> phase in [0, 2) ↦ the label, and the distance to the threshold."""


def shattered_exactly(name: str, k: int, labelings: Sequence[Sequence[int]]) -> OneWeightReport:
    """Build the weight of each labeling and decide every point in integers.

    ValueError when there is no labeling, or one that does not give each of the k points a 0 or 1.
    """
    family = _family(name)
    require_int("k", k, 1, MOST_POINTS)
    _require_labelings(labelings, k)
    least = Fraction(1)
    for labels in labelings:
        found, margin = exact_labels(name, family.weight(labels), k)
        least = min(least, margin)
        if [int(v) for v in found] != list(labels):
            point = next(i for i, (a, b) in enumerate(zip(found, labels, strict=True)) if int(a) != b)
            word = "".join(map(str, labels[:64]))
            failure = f"labeling {word}: point {point + 1} gets {int(found[point])}"
            return OneWeightReport(k, len(labelings), least, failure)
    return OneWeightReport(k, len(labelings), least, None)


def _family(name: str) -> OneWeightFamily:
    return FAMILIES[require_choice("name", name, tuple(FAMILIES))]


def _require_labelings(labelings: Sequence[Sequence[int]], k: int) -> None:
    if not isinstance(labelings, (list, tuple)) or not labelings:
        raise ValueError(f"`labelings` must be a non-empty list of labelings, got {shown(labelings)}")
    for labels in labelings:
        right = isinstance(labels, (list, tuple)) and len(labels) == k
        if not right or any(type(label) not in (int, bool) or label not in (0, 1) for label in labels):
            raise ValueError(f"`labelings` must be lists of {k} labels 0 and 1, got {shown(labels)}")


def every_labeling(k: int) -> list[list[int]]:
    """All 2^k labelings."""
    require_int("k", k, 1, MOST_ENUMERATED)
    return [[(number >> i) & 1 for i in range(k)] for number in range(2**k)]


def structured_and_random(k: int, random: int, generator: torch.Generator) -> list[list[int]]:
    """All ones, all zeros, both alternations, and `random` random labelings."""
    require_int("k", k, 1, MOST_POINTS)
    require_int("random", random, 0, MOST_POINTS)
    require_instance("generator", generator, torch.Generator)
    fixed = [[1] * k, [0] * k, [i % 2 for i in range(k)], [1 - i % 2 for i in range(k)]]
    return fixed + torch.randint(2, (random, k), generator=generator).tolist()


@dataclass(frozen=True)
class FloatReport(Report):
    """Some labelings of 1, 2, …, `points` points were tried; the `failure` is at `points` points."""

    points: int
    failure: str | None


def realised_in_float(
    name: str,
    dtype: torch.dtype,
    generator: torch.Generator,
    *,
    limit: int = 128,
    random: int = 16,
    device: torch.device | str = "cpu",
) -> FloatReport:
    """Does the module in `dtype` realise the structured and `random` random labelings of every k ≤ limit?"""
    family = _family(name)
    require_int("limit", limit, 1, LONGEST_FLOAT)
    for k in range(1, limit + 1):
        x = torch.tensor([float(p) for p in family.points(k)], dtype=dtype, device=device)[:, None]
        for labels in structured_and_random(k, random, generator):
            output = network(name, labels, dtype=dtype).to(device)(x)[:, 0]
            # an output of NaN is neither label: −1 differs from both
            found = torch.where(output.isnan(), -1, (output > 0).int()).tolist()
            if found != labels:
                point = next(i for i, (a, b) in enumerate(zip(found, labels, strict=True)) if a != b)
                word = "".join(map(str, labels))
                sentence = f"k = {k}, labeling {word}: point {point + 1} gets {found[point]} in {dtype}"
                return FloatReport(k, sentence)
    return FloatReport(limit, None)
