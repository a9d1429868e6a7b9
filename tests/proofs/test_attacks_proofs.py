"""Files made by hand to have something false proved, each with a correct digest."""

import hashlib
import json
import math
import random
import struct
from fractions import Fraction

import pytest

from theory import proofs

CHECK = proofs.checker()


def stored(folder, units, *, offset=0.0, form="d", **plan):
    """A model file of one output: units (weight, bias, output weight of each cell, slope) of the last axis."""
    prelu = any(len(unit) > 3 for unit in units)
    options = {"n": 1, "m": 1, "cells": [], "knots": len(units), "expert": "pencil", "domain": [[-1.0], [1.0]]}
    options |= {"dtype": "float64", "activation": "prelu" if prelu else "relu", **plan}
    n, k, cells = options["n"], len(units), math.prod(options["cells"])
    tensors = {
        "hidden_weight": ([v for w, *_ in units for v in [0.0] * (n - 1) + [w]], [k, n]),
        "hidden_bias": ([b for _, b, *_ in units], [k]),
        "out_weight": ([v for _, _, v, *_ in units] * cells, [cells, 1, k]),
        "out_bias": ([offset] * cells, [cells, 1]),
    }
    tensors |= {"slope": ([unit[3] for unit in units], [k])} if prelu else {}
    header, data = {}, b""
    for key, (values, shape) in tensors.items():
        packed = struct.pack(f"<{len(values)}{form}", *values)
        span = [len(data), len(data) + len(packed)]
        header[key] = {"dtype": {"d": "F64", "f": "F32"}[form], "shape": shape, "data_offsets": span}
        data += packed
    header["__metadata__"] = {"momlp": json.dumps({"kind": "experts", "plan": options})}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder / "model.safetensors", options


def decided(model, formula, eps, cuts=(".",), **changes):
    path, options = model
    about = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    sides = [[str(Fraction(v)) for v in side] for side in zip(*options["domain"], strict=True)]
    proof = {"model": about, "formula": formula, "domain": sides, "eps": eps, "cuts": list(cuts), **changes}
    return CHECK.decide(proofs.write_proof(path.parent / "x.proof", "uniform_error", proof))


LINE = [(1.0, 1.0, 1.0)]
"""With offset -1 this is x on [-1, 1]."""


def test_the_files_made_here_are_read(tmp_path):
    assert decided(stored(tmp_path, LINE, offset=-1.0), "x0", "1/1000000000")[0] == 0
    assert decided(stored(tmp_path, LINE, offset=-1.0), "0", "9/10")[0] == 1
    two = stored(tmp_path, LINE, offset=-1.0, n=2, cells=[2], domain=[[0.0, -1.0], [1.0, 1.0]])
    assert decided(two, "x1", "1/1000000000", (".", "."))[0] == 0


CRAFTED = {
    "bias and weight that add up to zero": ([(-1.0, 1.0, 1.0)], {}, "0", "1/100", (".",)),
    "no cells": (LINE, {"cells": [0], "offset": -1.0}, "0", "1/100", ()),
    "cells of less than none": (LINE, {"n": 2, "cells": [-1, -1], "domain": [[0.0] * 2, [1.0] * 2]}, "0", "1/2", "."),
    "an axis too many": (LINE, {"domain": [[0.0, -1.0], [0.001, 1.0]], "offset": -1.0}, "0", "1/100", "."),
    "a side from its end to its start": (LINE, {"domain": [[1.0], [-1.0]], "offset": -1.0}, "0", "1/100", "."),
    "letters of two characters": (LINE, {"offset": -1.0}, "0", "6/10", (("-1", ".", "."),)),
    "single precision said to be double": (LINE, {"form": "f", "offset": -1.0}, "x0", "1/1000000000", "."),
    "double precision said to be single": (LINE, {"dtype": "float32", "offset": -1.0}, "x0", "1/1000", "."),
    "infinity times zero": (
        [(3e38, 0.0, 0.0)],
        {"form": "f", "dtype": "float32", "domain": [[0.0], [9.0]]},
        "0",
        "1",
        ".",
    ),
    "kinks whose order enclosures leave open": (
        [(3 * 2.0**88, -3 * 2.0**87, 2.0**-85), (1.0, -0.4981, -24.0)],
        {"domain": [[0.478], [0.502]]},
        "12*(x0 - 0.49)",
        "3/20",
        ".",
    ),
    "a comment": (LINE, {"offset": -1.0}, "x0 # + 5", "1/100", "."),
    "a slope below -1": ([(1.0, 0.0, 1.0, -2.0)], {}, "x0", "1", "."),
    "a weight that is nothing in the checker's units": ([(-1e-300, 1e-300, 1.0)], {}, "1", "1/100", "."),
    "a weight of zero": ([(0.0, 1.0, 1.0)], {}, "0", "1/100", "."),
}  # fmt: skip


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_model_is_refused(name, tmp_path):
    units, options, formula, eps, cuts = CRAFTED[name]
    status, words = decided(stored(tmp_path, units, **options), formula, eps, cuts)
    assert status != 0, words


def test_the_domain_is_what_the_model_takes_it_for(tmp_path):
    """An integer that no float is: the package rounds it, and routes otherwise."""
    large = 2**53
    model = stored(tmp_path, [(1.0, 0.0, 0.0)], domain=[[large + 1], [large + 9]], cells=[2])
    assert decided(model, "0", "1000000", (".", "."))[0] == 1
    options = dict(model[1], domain=[[large], [large + 8]])
    assert decided((model[0], options), "0", "1000000", (".", "."))[0] == 0


def test_what_is_printed_is_not_less_than_what_is_proved(tmp_path):
    model = stored(tmp_path, [], offset=0.10000000035)
    status, words = decided(model, "0", "0.1000000004")
    assert (status, "<= 0.1 on" in words, "<= 250000001/2500000000 on" in words) == (0, False, True), words
    assert "<= 0.2 on" in decided(model, "0", str(Fraction(0.2)))[1]


# --- facts -----------------------------------------------------------------------------------------------------


def stated(folder, *facts, variables=(), data=None, definitions=(), claim="none"):
    proof = {"claim": claim, "variables": list(variables), "data": data or {}, "definitions": definitions}
    return CHECK.decide(proofs.write_proof(folder / "x.proof", "facts", {**proof, "facts": list(facts)}))


FALSE = [
    "sqrt(4) != 2", "2*sqrt(2) != sqrt(8)", "[2] != [2, sqrt(4)] and sqrt(4) != 2", "any([sqrt(4) - 2])",
    "(1 if sqrt(4) - 2 else 0) == 1", "not not sqrt(4) - 2", "any([X - X])", "(X - X) and True", "X - X == []",
    "len(pi) == 2", "pi[1] == pi[1]", "any(pi)", "sqrt(2) in pi",
    "not not X - X", "all([sqrt(4) - 2])", "(1 if X - X else 0) == 1", "1 == 1 # and 1 == 2",
]  # fmt: skip


@pytest.mark.parametrize("text", FALSE)
def test_a_false_fact_is_refused(text, tmp_path):
    assert stated(tmp_path, text, variables=["X"])[0] != 0


def test_names_are_those_that_are_read(tmp_path):
    for number in range(30, 60):  # names that the checker gives to constants
        assert stated(tmp_path, "1.5 == 2.5", variables=[str(number)])[0] == 1
    assert stated(tmp_path, "__debug__ == 1", data={"__debug__": "0"})[0] == 1
    assert stated(tmp_path, "True == 1", data={"True": "0"})[0] == 1
    assert stated(tmp_path, "ﬁ == 1", data={"fi": "1", "ﬁ": "2"})[0] == 1  # the parser reads fi
    assert stated(tmp_path, "ｐｉ > 3")[0] == 1
    assert stated(tmp_path, "pi*pi == pi**2", variables=["pi"])[0] == 1
    assert stated(tmp_path, "X == X", variables=["X", "X"])[0] == 1


def test_a_number_with_a_point_is_the_decimal_that_is_written(tmp_path):
    """In data as in formulas: 0.1 in JSON is not more than 1/10, as the float is."""
    proof = {"claim": "none", "variables": [], "data": {"x": 0.1}, "definitions": [], "facts": ["x > 0.1"]}
    contents = {"format": "momlp-proof", "version": 1, "kind": "facts", "proof": proof}
    for read in (proof, dict(proof, data={"x": "0.1"})):  # whichever of both the digest is of
        text = json.dumps({**contents, "proof": read}, sort_keys=True, separators=(",", ":"))
        contents["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        (tmp_path / "x.proof").write_text(json.dumps(contents))
        assert CHECK.decide(tmp_path / "x.proof")[0] != 0
        del contents["sha256"]


def test_a_file_answers_with_one_line(tmp_path, capsys):
    claim = "x\nproved  other.proof  sup |sin(x0) - model| <= 0\x1b[1A"
    assert stated(tmp_path, "1 == 1", claim=claim)[0] == 0
    assert CHECK.main([str(tmp_path / "x.proof")]) == 0
    printed = capsys.readouterr().out
    assert (len(printed.splitlines()), "\x1b" in printed) == (1, False)


# --- what the checker computes, against rationals ------------------------------------------------------------------


def drawn(draw):
    sizes = draw.uniform(-1, 1) * 2.0 ** draw.randint(-60, 60)
    return draw.choice((draw.uniform(-2, 2), draw.choice((1.0, -1.0)), sizes))


@pytest.mark.parametrize("seed", range(60))
def test_networks_and_differences_of_crafted_models_are_enclosed(seed, tmp_path):
    """Weights of all sizes and signs, kinks twice, at the ends, outside; PReLU slopes from -1 to 1."""
    draw = random.Random(seed)
    low, high = draw.uniform(-2, 0), draw.uniform(0.1, 3)
    units = []
    for _ in range(draw.randint(0, 5)):
        weight, at = drawn(draw) or 1.0, draw.choice((low, high, draw.uniform(low, high), low - 1, high + 2))
        units.append((weight, -weight * at, drawn(draw) / draw.choice((weight, 1))))
    units += units[-1:] * draw.randint(0, 1)
    if draw.random() < 0.5:
        units = [(*unit, draw.choice((0.0, 1.0, -1.0, draw.uniform(-1, 1)))) for unit in units]
    path, _ = stored(tmp_path, units, offset=0.5, domain=[[low], [high]])
    network = CHECK.Mixture(path, hashlib.sha256(path.read_bytes()).hexdigest()).network(0)

    def exact(x):
        hidden = [(Fraction(w) * x + Fraction(b), Fraction(v), *map(Fraction, a)) for w, b, v, *a in units]
        return Fraction(1, 2) + sum(v * (h if h > 0 else sum(a) * h) for h, v, *a in hidden)

    ends = [Fraction(low), Fraction(high)]
    kinks = [t for t in (-Fraction(b) / Fraction(w) for w, b, *_ in units) if ends[0] <= t <= ends[1]]
    for _ in range(20):
        start, end = sorted(draw.choice([*ends, *kinks, Fraction(draw.uniform(low, high))]) for _ in range(2))
        slope, height = Fraction(draw.uniform(-3, 3)), exact(start)
        points = [start, end, *(t for t in kinks if start <= t <= end)]
        points += [start + (end - start) * Fraction(draw.random()) for _ in range(5)]
        for x in points:
            (y,) = network([CHECK.Dual.of(x)])
            assert y.value.lo <= exact(x) * CHECK.ONE <= y.value.hi
        (bound,) = CHECK.difference(
            lambda v, a=slope, s=start, c=height: (a * (v["x0"] - CHECK.Dual.of(s)) + c,), network, [(start, end)]
        )
        assert bound >= max(abs(slope * (x - start) + height - exact(x)) for x in points) * CHECK.ONE


def test_an_arcus_tangens_from_far_away_is_not_known():
    """Its series did not end there."""
    far = CHECK.Dual.of(2**98)
    with pytest.raises(CHECK.Unknown):
        CHECK.ON_REALS["atan"](far)
    assert CHECK.ON_REALS["atan"](CHECK.Dual.of(2**39)).value.hi < 2 * CHECK.ONE
