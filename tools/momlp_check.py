#!/usr/bin/env python3
"""Re-decide momlp proof files: `python momlp_check.py FILE…`. Python's standard library is all it needs.

A proof file states something and holds what is needed to decide it again. Nothing in it is believed: every number is
derived anew, in integers, rationals, and intervals of integers rounded outward. docs/proofs.md has the format.
Exit status: 0 when every statement follows, 1 when one does not, 2 when a file cannot be read.
"""

import ast
import contextlib
import gzip
import hashlib
import itertools
import json
import math
import struct
import sys
import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

FORMAT, VERSION, MOST_BYTES = "momlp-proof", 1, 1 << 30
P = 96  # an interval counts in units of 2^-P
W = P + 64  # and inside of functions in units of 2^-W
ONE, LARGEST, FAR = 1 << P, 1 << 14, 1 << 40  # nothing is known of exp beyond LARGEST, of sin and cos beyond FAR


class Refused(Exception):
    """The statement does not follow from what the file holds."""


class Undecided(Refused):
    """Which of two numbers is larger is left open by their enclosures."""


class Unknown(Refused):
    """Nothing is known on this interval: it leaves a function's domain."""


def require(condition, why):
    if not condition:
        raise Refused(why)


class Interval(NamedTuple):
    """All reals from lo/2^P to hi/2^P. Every operation rounds outward."""

    lo: int
    hi: int

    @classmethod
    def of(cls, number):
        top, bottom = number.numerator << P, number.denominator
        return cls(top // bottom, -(-top // bottom))

    @classmethod
    def hull(cls, many):
        lows, highs = zip(*many, strict=True)
        return cls(min(lows), max(highs))

    def outward(self, bits):
        """Divided by 2^bits."""
        return Interval(self.lo >> bits, -(-self.hi >> bits))

    def __add__(self, other):
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def __neg__(self):
        return Interval(-self.hi, -self.lo)

    def __sub__(self, other):
        return self + -other

    def __mul__(self, other):
        ends = (self.lo * other.lo, self.lo * other.hi, self.hi * other.lo, self.hi * other.hi)
        return Interval(min(ends), max(ends)).outward(P)

    def __truediv__(self, other):
        if other.lo <= 0 <= other.hi:
            raise Unknown
        return self * Interval((ONE << P) // other.hi, -((-ONE << P) // other.lo))

    def __abs__(self):
        return Interval(max(0, self.lo, -self.hi), max(abs(self.lo), abs(self.hi)))

    def __pow__(self, k):
        """To a rational number."""
        if k < 0:
            return UNIT / self**-k
        if k.denominator == 2:
            return self.sqrt() ** Fraction(k.numerator)
        if k.denominator > 2:
            ends = [exp(log(Interval(a, a)) * Interval.of(k)) if a else Interval(0, 0) for a in self]
            return Interval(ends[0].lo, ends[1].hi)
        ends = [UNIT, UNIT]
        for i, end in enumerate(self if k % 2 else abs(self)):
            for _ in range(int(k)):
                ends[i] *= Interval(end, end)
        return Interval(ends[0].lo, ends[1].hi)

    def sqrt(self):
        if self.lo < 0:
            raise Unknown
        return Interval(math.isqrt(self.lo << P), math.isqrt((self.hi << P) - 1) + 1 if self.hi else 0)


UNIT = Interval(ONE, ONE)

# --- functions: each `…_at(a)` encloses the value at a/2^P ----------------------------------------------------


def odd_series(z, sign):
    """sum_j sign^j y^(2j+1)/(2j+1) for all |y| <= 1/3 within one unit of z, in units of 2^-W.

    Each power is off by at most 3 units, each quotient by one more; what is left out is below 2.
    """
    square, total, power, j = z * z >> W, 0, z, 0
    while power not in (0, -1):
        total += (power if j % 2 == 0 or sign > 0 else -power) // (2 * j + 1)
        power, j = power * square >> W, j + 1
    return Interval(total - 4 * j - 8, total + 4 * j + 8)


_fifth, _small, _third = (odd_series((1 << W) // k, sign) for k, sign in ((5, -1), (239, -1), (3, 1)))
PI_W = Interval(16 * _fifth.lo - 4 * _small.hi, 16 * _fifth.hi - 4 * _small.lo)  # Machin
PI, LOG2_W = PI_W.outward(W - P), _third + _third


def exp_at(a):
    """Taylor's sum at a/2^s, |a/2^s| < 2^-8, its terms off by at most 1.01 units each; squared s times."""
    if a > LARGEST << P:
        raise Unknown
    if a < -(P << P):
        return Interval(0, 1)
    s = 8 + (abs(a) >> P).bit_length()
    width = P + 2 * s + 32 + max(0, 2 * a >> P)  # as many more bits as the result has before the point
    r, total, term, k = a << (width - P - s), 0, 1 << width, 0
    while term not in (0, -1):
        total, k = total + term, k + 1
        term = term * r // (k << width)
    found = Interval(total - 2 * k - 2, total + 2 * k + 2)
    for _ in range(s):
        found = Interval(found.lo**2, found.hi**2).outward(width)
    return found.outward(width - P)


def log_at(a):
    """a/2^P = m 2^k with 3/4 <= m < 3/2, and log m = 2 artanh((m - 1)/(m + 1))."""
    if a <= 0:
        raise Unknown
    k = a.bit_length() - 1 - P
    k += a << 1 >= 3 << (P + k)
    one = Fraction(2) ** (P + k)
    z = (a - one) / (a + one)
    near = odd_series((z.numerator << W) // z.denominator, 1)
    return Interval(2 * near.lo + k * LOG2_W[k < 0], 2 * near.hi + k * LOG2_W[k >= 0]).outward(W - P)


def circle_at(a):
    """(sin, cos): Taylor's sums after the nearest multiple of pi/2 is taken off, their terms off by at most 3 units."""
    if abs(a) > FAR << P:
        raise Unknown
    k = ((a << (W - P + 2)) // PI_W.lo + 1) // 2
    r, off = (a << (W - P)) - k * PI_W.lo // 2, abs(k) * (PI_W.hi - PI_W.lo) + 2
    square, found = r * r >> W, []
    for term, j in ((r, 1), (1 << W, 0)):
        total, terms = 0, 0
        while term not in (0, -1):
            total, terms = total + term, terms + 1
            term, j = -(term * square // ((j + 1) * (j + 2) << W)), j + 2
        found.append(Interval(total - 3 * terms - 4 - off, total + 3 * terms + 4 + off).outward(W - P))
    sine, cosine = found
    for _ in range(k % 4):
        sine, cosine = cosine, -sine
    return [Interval(max(-ONE, x.lo), min(ONE, x.hi)) for x in (sine, cosine)]


def wave(x, part):
    """sin (part 0) or cos (part 1): at both ends, and the extrema (k + (1 - part)/2) pi that may lie between."""
    at = [[((2 * end << (W - P)) - (1 - part) * pi) // (2 * pi) for pi in PI_W] for end in x]
    inside = max(at[1]) - min(at[0])
    if inside >= 2:
        return Interval(-ONE, ONE)
    ends = Interval.hull(circle_at(end)[part] for end in x)
    return ends if not inside else (Interval(-ONE, ends.hi) if max(at[1]) % 2 else Interval(ends.lo, ONE))


def atan_at(a):
    """atan y = 2 atan(y/(1 + sqrt(1 + y^2))), twice; beyond 1 it is pi/2 - atan(1/a)."""
    if abs(a) > ONE:
        turned = PI.outward(1) - Interval.hull(map(atan_at, UNIT / Interval(abs(a), abs(a))))
        return turned if a > 0 else -turned
    y = Interval(a, a)
    for _ in range(2):
        y /= UNIT + (UNIT + y * y).sqrt()
    low, high = (odd_series(end << (W - P), -1) for end in y)
    return Interval(4 * low.lo, 4 * high.hi).outward(W - P)


def increasing(at):
    return lambda x: Interval(at(x.lo).lo, at(x.hi).hi)


exp, log = increasing(exp_at), increasing(log_at)

# --- formulas -------------------------------------------------------------------------------------------------


class Dual(NamedTuple):
    """f lies in `value` on a box, and f(x) - f(c) = sum_a g_a (x_a - c_a) with g in `slopes` (axis -> interval) for all
    x and c in it; `slopes` is None where that is not known. f is taken to be continuous. Rationals stand for constants.
    """

    value: Interval
    slopes: dict | None

    @classmethod
    def of(cls, x):
        return x if isinstance(x, Dual) else cls(Interval.of(Fraction(x)), {})

    def chain(self, value, derivative):
        try:
            return Dual(value, self.slopes and {a: s * d for d in [derivative()] for a, s in self.slopes.items()})
        except Unknown:
            return Dual(value, None)

    def __neg__(self):
        return self.chain(-self.value, lambda: -UNIT)

    def __add__(self, other):
        value, other = self.value + Dual.of(other).value, Dual.of(other).slopes
        if self.slopes is None or other is None:
            return Dual(value, None)
        zero = Interval(0, 0)
        return Dual(value, {a: self.slopes.get(a, zero) + other.get(a, zero) for a in self.slopes.keys() | other})

    def __mul__(self, other):
        other = Dual.of(other)
        left, right = self.chain(self.value, lambda: other.value), other.chain(other.value, lambda: self.value)
        return Dual(self.value**2 if self is other else self.value * other.value, (left + right).slopes)

    def __pow__(self, k):
        return self.chain(self.value**k, lambda: Interval.of(k) * self.value ** (k - 1)) if k else Dual(UNIT, {})

    def __sub__(self, other):
        return self + -other

    def __truediv__(self, other):
        return self * Dual.of(other) ** Fraction(-1)

    def __rsub__(self, other):
        return Dual.of(other) - self

    def __rtruediv__(self, other):
        return Dual.of(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __lt__(self, other):
        """The same everywhere on the box, or Undecided."""
        x, y = self.value, Dual.of(other).value
        if x.hi >= y.lo and x.lo <= y.hi:
            raise Undecided("the enclosures of two numbers overlap")
        return x.hi < y.lo

    def __gt__(self, other):
        return Dual.of(other) < self

    def __eq__(self, other):
        raise Refused("whether two enclosed numbers are equal is never decided")

    __le__, __ge__ = __lt__, __gt__


def function(fn, derivative):
    def on_duals(x):
        x = Dual.of(x)
        value = fn(x.value)
        return x.chain(value, lambda: derivative(x.value, value))

    return on_duals


def either(value, parts):
    """A function that is everywhere one of the parts."""
    if any(part.slopes is None for part in parts):
        return Dual(value, None)
    axes = set().union(*(part.slopes for part in parts))
    return Dual(value, {a: Interval.hull(part.slopes.get(a, Interval(0, 0)) for part in parts) for a in axes})


def largest(*parts):
    parts = list(map(Dual.of, parts))
    value = Interval(max(part.value.lo for part in parts), max(part.value.hi for part in parts))
    return either(value, [part for part in parts if part.value.hi >= value.lo])


def piecewise(*branches):
    """The first branch whose condition holds; all that may be it where that is open."""
    found = []
    for branch, condition in branches:
        everywhere = False
        with contextlib.suppress(Undecided):
            if not (everywhere := condition()):
                continue
        found.append(Dual.of(branch()))
        if everywhere:
            return either(Interval.hull(part.value for part in found), found)
    raise Unknown  # nothing says what f is where no condition holds


sine = function(lambda x: wave(x, 0), lambda x, y: wave(x, 1))
cosine = function(lambda x: wave(x, 1), lambda x, y: -wave(x, 0))
power_e = function(exp, lambda x, y: y)
ON_REALS = {
    "sin": sine,
    "cos": cosine,
    "tan": lambda x: sine(x) / cosine(x),
    "exp": power_e,
    "log": function(log, lambda x, y: UNIT / x),
    "sqrt": function(Interval.sqrt, lambda x, y: UNIT / (y + y)),
    "atan": function(increasing(atan_at), lambda x, y: UNIT / (UNIT + x**2)),
    "sinh": lambda x: (power_e(x) - power_e(-x)) / 2,
    "cosh": lambda x: (power_e(x) + power_e(-x)) / 2,
    "tanh": lambda x: 1 - 2 / (power_e(2 * x) + 1),
    "Abs": lambda x: largest(x, -x),
    "Max": largest,
    "Min": lambda *parts: -largest(*(-part for part in parts)),
    "Piecewise": piecewise,
    "pi": Dual(PI, {}),
    "E": Dual(exp(UNIT), {}),
}
_nodes = "Expression Constant Name Load UnaryOp USub BinOp Add Sub Mult Div Pow Compare Lt LtE Gt GtE Call Tuple"
ALLOWED = tuple(getattr(ast, name) for name in _nodes.split())
_nodes = "Store Mod Eq NotEq In BoolOp And Or Not IfExp List ListComp comprehension Subscript Lambda arguments arg"
ALLOWED_IN_FACTS = ALLOWED + tuple(getattr(ast, name) for name in _nodes.split())


class Rewritten(ast.NodeTransformer):
    """No operation makes a float, and the arguments of Piecewise are evaluated when needed."""

    def __init__(self, text):
        self.text = text

    def visit_Constant(self, node):
        if type(node.value) is not float:
            return node
        number = Fraction(ast.get_source_segment(self.text, node).replace("_", ""))
        return ast.Call(ast.Name("number", ast.Load()), [ast.Constant(str(number))], [])

    def visit_BinOp(self, node):
        self.generic_visit(node)
        name = {ast.Div: "divided", ast.Pow: "power"}.get(type(node.op))
        return ast.Call(ast.Name(name, ast.Load()), [node.left, node.right], []) if name else node

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "Piecewise":
            nothing = ast.arguments([], [], None, [], [], None, [])
            for arg in node.args:
                arg.elts = [ast.Lambda(nothing, part) for part in arg.elts]
        return node


def power(x, k):
    if not isinstance(x, int | Fraction):
        return x**k
    return Dual.of(x) ** k if k != int(k) else x ** int(k) if k >= 0 else Fraction(x) ** int(k)


def divided(x, y):
    found = x * power(y, -1)
    return found.numerator if isinstance(found, Fraction) and found.denominator == 1 else found


HIDDEN = {"__builtins__": {}, "number": Fraction, "power": power, "divided": divided}


def compiled(text, names, space, allowed=ALLOWED):
    """A formula as a function of a dictionary of its variables; Refused for anything outside the language."""
    tree, names = ast.parse(text.strip(), mode="eval"), set(names)
    for node in ast.walk(tree):
        good = isinstance(node, allowed) and not getattr(node, "keywords", ())
        good = good and (not isinstance(node, ast.Constant) or type(node.value) in (int, float) or node.value is True)
        require(good, f"{ast.unparse(node)!r} is not part of the language")
        if isinstance(node, ast.arg) or isinstance(getattr(node, "ctx", None), ast.Store):
            names |= {getattr(node, "arg", getattr(node, "id", None))}
    require(not names & {*HIDDEN, *space}, f"{sorted(names & {*HIDDEN, *space})} have a meaning already")
    unknown = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - {*space, *names}
    require(not unknown, f"{sorted(unknown)} are not part of the language")
    code = compile(ast.fix_missing_locations(Rewritten(text.strip()).visit(tree)), "formula", "eval")
    return lambda values: eval(code, {**HIDDEN, **space, **values})


def terms(x):
    return x.terms if isinstance(x, Polynomial) else {(): Fraction(x)} if x else {}


class Polynomial:
    """In commuting variables: sorted names -> coefficient. Two are equal when all coefficients are."""

    def __init__(self, terms):
        self.terms = {word: c for word, c in terms.items() if c}

    def __add__(self, other):
        mine, other = self.terms, terms(other)
        return Polynomial({w: mine.get(w, 0) + other.get(w, 0) for w in mine.keys() | other})

    def __mul__(self, other):
        found = defaultdict(Fraction)
        for (v, c), (w, d) in itertools.product(self.terms.items(), terms(other).items()):
            found[(*sorted(v + w),)] += c * d
        return Polynomial(found)

    def __sub__(self, other):
        return self + other * -1

    def __rsub__(self, other):
        return self * -1 + other

    def __neg__(self):
        return 0 - self

    def __pow__(self, k):
        require(k == int(k) >= 0, "a polynomial has whole powers")
        return math.prod([self] * int(k))

    def __eq__(self, other):
        return self.terms == terms(other)

    __radd__, __rmul__ = __add__, __mul__


def every(many):
    require(len(many), "a statement about nothing")
    return all(many)


def hashable(x):
    return tuple(map(hashable, x)) if isinstance(x, list | tuple) else x


IN_FACTS = {**ON_REALS, "all": every, "any": any, "sum": sum, "prod": math.prod, "min": min, "max": max, "abs": abs}
IN_FACTS |= {"len": len, "floor": math.floor, "ceil": math.ceil, "range": range, "sorted": sorted, "gcd": math.gcd}
IN_FACTS |= {"zip": lambda *many: list(zip(*many, strict=True)), "comb": math.comb, "factorial": math.factorial}
IN_FACTS |= {"product": lambda many, k: list(map(list, itertools.product(many, repeat=k)))}
_choices = {"permutations": itertools.permutations, "subsets": itertools.combinations}
IN_FACTS |= {name: lambda many, k, f=f: list(map(list, f(many, k))) for name, f in _choices.items()}
IN_FACTS |= {"set": lambda many: set(map(hashable, many)), "coefficients": lambda p: list(p.terms.values())}

# --- what is decided: each returns the statement in words -----------------------------------------------------


def dot(row, x, bias):
    """The sum of weights (intervals) times duals, and a bias: one at a time would take as long again."""
    low, high, slopes = *bias, {}
    for w, part in zip(row, x, strict=True):
        if any(w):
            value = w * part.value
            low, high = low + value.lo, high + value.hi
            for a, s in part.slopes.items():
                slopes[a] = slopes[a] + w * s if a in slopes else w * s
    return Dual(Interval(low, high), slopes)


def rounding(layers, x, unit):
    """How far outputs may be off when computed in floats, sums in any order, for inputs of size <= x."""
    off = [unit * v for v in x]
    for weights, biases, bent in layers:
        moved, most = (
            [sum(abs(w) * o for w, o in zip(row, many, strict=True)) for row in weights] for many in (off, x)
        )
        most = [v + abs(b) for v, b in zip(most, biases, strict=True)]
        off = [o + (len(x) + 4) * unit * (v + o) + len(x) * unit**6 for o, v in zip(moved, most, strict=True)]
        x, off = ([v * max(1, abs(a)) for v, a in zip(part, bent, strict=True)] for part in (most, off))
    return off


class Mixture:
    """Experts of one hidden ReLU or PReLU layer, or none, behind a lattice of cells, read from their file: safetensors,
    a length of 8 bytes, a JSON header with offsets, the data."""

    def __init__(self, path, digest):
        self.data = path.read_bytes()
        require(hashlib.sha256(self.data).hexdigest() == digest, f"{path} is not the model that the proof is about")
        self.start = 8 + int.from_bytes(self.data[:8], "little")
        self.header = json.loads(self.data[8 : self.start])
        spec = json.loads(self.header["__metadata__"]["momlp"])
        plan, kind = spec["plan"], (spec["kind"], "table" in spec, spec["plan"]["expert"] in ("pencil", "constant"))
        require(kind == ("experts", False, True), "the model is none of stored pencils or constants")
        self.n, self.m, self.cells, self.k = plan["n"], plan["m"], plan["cells"], plan["knots"]
        self.domain = [tuple(map(Fraction, side)) for side in zip(*plan["domain"], strict=True)]
        self.leaves, self.unit = math.prod(self.cells), Fraction(1, 2 ** (53 if plan["dtype"] == "float64" else 24))
        bent = self.numbers("slope", self.k) if plan["activation"] == "prelu" else [Fraction(0)] * self.k
        hidden = rows(self.numbers("hidden_weight", self.k, self.n), self.n)
        self.hidden = hidden, self.numbers("hidden_bias", self.k), bent
        out = self.numbers("out_weight", self.leaves, self.m, self.k)
        self.out = rows(out, self.k) if self.k else [[]] * (self.leaves * self.m)
        self.bias = self.numbers("out_bias", self.leaves, self.m)

    def numbers(self, name, *shape):
        if not math.prod(shape):
            return []
        entry = self.header[name]
        first, last = (self.start + offset for offset in entry["data_offsets"])
        require(entry["shape"] == list(shape), f"the model's tensor {name!r} has not the shape {shape}")
        form = f"<{math.prod(shape)}{ {'F64': 'd', 'F32': 'f'}[entry['dtype']] }"
        return list(map(Fraction, struct.unpack(form, self.data[first:last])))

    def layers(self, leaf):
        here = slice(leaf * self.m, (leaf + 1) * self.m)
        return [self.hidden, (self.out[here], self.bias[here], [0] * self.m)]

    def cell(self, leaf):
        """The leaf's box, and as much more as rounding may move its faces: (x - lo)(M/l) in floats is off by 4u."""
        box = list(self.domain)
        for a, count in reversed(list(enumerate(self.cells))):
            leaf, i = divmod(leaf, count)
            low, high = self.domain[a]
            width, more = (high - low) / count, (high - low) / 2**51
            box[a] = max(low, low + i * width - more), min(high, low + (i + 1) * width + more)
        return box


def rows(numbers, width):
    return [numbers[i : i + width] for i in range(0, len(numbers), width)]


def enclosed(numbers):
    return [enclosed(v) if isinstance(v, list) else Interval.of(Fraction(v)) for v in numbers]


def difference(f, layers, box):
    """Bounds of |f_i - network_i| on a box, in units of 2^-P: by values, or by slopes and the value at the centre."""
    found = []
    for where in (box, [((s + t) / 2,) * 2 for s, t in box]):
        x = [Dual(Interval(Interval.of(s).lo, Interval.of(t).hi), {a: UNIT}) for a, (s, t) in enumerate(where)]
        y, outputs = x, f({f"x{a}": part for a, part in enumerate(x)})
        for i, (weights, biases, _) in enumerate(layers):
            if i:
                y = [largest(h, h.chain(h.value * a, lambda a=a: a)) for h, a in zip(y, layers[0][2], strict=True)]
            y = [dot(row, y, b) for row, b in zip(weights, biases, strict=True)]
        outputs = outputs if type(outputs) is tuple else (outputs,)
        found.append([Dual.of(f) - v for f, v in zip(outputs, y, strict=True)])
    half, bounds = [Interval.of((t - s) / 2) for s, t in box], []
    for wide, middle in zip(*found, strict=True):
        bounds.append(abs(wide.value).hi)
        if wide.slopes is not None:
            rise = sum((abs(s) * half[a]).hi for a, s in wide.slopes.items())
            bounds[-1] = min(bounds[-1], abs(middle.value).hi + rise)
    return bounds


def uniform_error(proof, folder, log):
    """|f - model| <= eps on the domain. The proof says how each cell is cut; every bound is computed here."""
    model = Mixture(folder / proof["model"]["file"], proof["model"]["sha256"])
    f = compiled(proof["formula"], [f"x{a}" for a in range(model.n)], ON_REALS)
    eps, boxes = Fraction(proof["eps"]), 0
    require([list(map(str, side)) for side in model.domain] == proof["domain"], "the domain is not the model's")
    require(len(proof["cuts"]) == model.leaves, "there are not as many cells as the model has")
    for leaf, cuts in enumerate(proof["cuts"]):
        log(f"cell {leaf + 1} of {model.leaves}")
        off = rounding(model.layers(leaf), [max(map(abs, side)) for side in model.domain], model.unit)
        layers, stack = [tuple(map(enclosed, part)) for part in model.layers(leaf)], [model.cell(leaf)]
        for letter in cuts:
            require(stack, f"cell {leaf}: there are more cuts than boxes")
            box = stack.pop()
            if letter != ".":
                a, (low, high) = int(letter, 36), box[int(letter, 36)]
                for part in ((low + high) / 2, high), (low, (low + high) / 2):
                    stack.append([*box[:a], part, *box[a + 1 :]])
                continue
            bounds = [Fraction(b, ONE) + o for b, o in zip(difference(f, layers, box), off, strict=True)]
            place = [tuple(map(float, side)) for side in box]
            require(max(bounds) <= eps, f"cell {leaf}: the bound on {place} is {float(max(bounds)):.6g}")
            boxes += 1
        require(not stack, f"cell {leaf}: {len(stack)} boxes are not looked at")
    return f"sup |{proof['formula']} - model| <= {float(eps):.9g}, rounding included ({boxes} boxes)"


def matrix_inequality(proof, folder, log):
    """bound - s f = sum_i sum G_i[u,v] u* x_i v + sum H[u,v] u* (n - sum x) v in the free algebra, with H, G_0 >= 0."""
    n, m, bound, sign = proof["n"], proof["m"], Fraction(proof["bound"]), {"upper": 1, "lower": -1}[proof["side"]]
    words = [w for j in range(m // 2 + 1) for w in itertools.product(range(n), repeat=j)]

    def orbit(u, v, fixed):
        """The same for all pairs that a permutation of the letters, or transposition, makes of (u, v)."""
        found = []
        for first, second in ((u, v), (v, u)):
            names = {letter: letter for letter in range(fixed)}
            both = [names.setdefault(letter, len(names)) for letter in first + second]
            found.append((both[: len(first)], both[len(first) :]))
        return str(min(found))

    def matrix(entries, fixed):
        values = {orbit(*(tuple(map(int, w)) for w in pair), fixed): Fraction(value) for *pair, value in entries}
        require(len(values) == len(entries), "an orbit is given twice")
        return [[values[orbit(u, v, fixed)] for v in words] for u in words]

    h, g, excess = matrix(proof["H"], 0), matrix(proof["G"], 1), defaultdict(Fraction)
    excess[()] -= bound
    for word in itertools.permutations(range(n), m):
        excess[word] += sign
    places = {word: a for a, word in enumerate(words)}
    for i in range(n):
        swap = {0: i, i: 0}
        moved = [places[tuple(swap.get(letter, letter) for letter in word)] for word in words]
        for (a, u), (b, v) in itertools.product(enumerate(words), repeat=2):
            excess[u[::-1] + v] += h[a][b]
            excess[(*u[::-1], i, *v)] += g[moved[a]][moved[b]] - h[a][b]
    require(not any(excess.values()), "the identity fails")
    require(positive(h) and positive(g), "a matrix is not positive semidefinite")
    f = f"the sum of all products of {m} different ones of A_1, …, A_{n} >= 0 with A_1 + … + A_{n} <= {n} I"
    return f"{f} is <= {bound} I" if sign > 0 else f"{f} is >= -{bound} I"


def positive(matrix):
    """Whether a symmetric matrix of rationals is positive semidefinite: elimination without pivoting."""
    while matrix:
        first, *rest = matrix
        if first[0] < 0 or (first[0] == 0 and any(first)):
            return False
        scaled = [x / first[0] for x in first] if first[0] else first
        matrix = [[x - row[0] * y for x, y in zip(row[1:], scaled[1:], strict=True)] for row in rest]
    return True


def numbers(x):
    """Rationals "p/q" in lists in lists."""
    return [numbers(part) for part in x] if isinstance(x, list) else divided(Fraction(x), 1)


def facts(proof, folder, log):
    """Formulas that are true: of integers, rationals, polynomials, enclosed reals, and the numbers in the file."""
    space = {**IN_FACTS, **{name: Polynomial({(name,): 1}) for name in proof["variables"]}}
    for name, value in [*proof["data"].items(), *proof["definitions"]]:
        require(name.isidentifier() and name not in {**HIDDEN, **space}, f"{name!r} has a meaning already")
        space[name] = compiled(value, [], space, ALLOWED_IN_FACTS)({}) if isinstance(value, str) else numbers(value)
    require(proof["facts"], "nothing is stated")
    for text in proof["facts"]:
        log(text)
        require(compiled(text, [], space, ALLOWED_IN_FACTS)({}) is True, f"it is false that {text}")
    return f"{proof['claim']}: {len(proof['facts'])} facts, the last one {proof['facts'][-1]}"


# --- files ----------------------------------------------------------------------------------------------------

KINDS = {decide.__name__: decide for decide in (uniform_error, matrix_inequality, facts)}


def read(path):
    """(kind, contents) of a proof file, or of a file of the format momlp-amgm-sos, packed or not."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with (gzip.open if packed else open)(path, "rb") as file:
        contents = json.loads(file.read(MOST_BYTES))  # what is longer ends early, and is no JSON then
    if contents.get("format") == "momlp-amgm-sos" and contents["version"] == 1:
        return "matrix_inequality", contents
    if contents.get("format") != FORMAT or contents["version"] != VERSION or contents["kind"] not in KINDS:
        raise ValueError(f"no proof file of version {VERSION}")
    text = json.dumps({k: v for k, v in contents.items() if k != "sha256"}, sort_keys=True, separators=(",", ":"))
    if hashlib.sha256(text.encode()).hexdigest() != contents["sha256"]:
        raise ValueError("its digest differs: it was altered or damaged")
    return contents["kind"], contents["proof"]


def decide(path, log=lambda message: None):
    """(0, the statement), (1, why it does not follow) or (2, why the file cannot be read)."""
    try:
        kind, proof = read(path)
        return 0, KINDS[kind](proof, path.parent, log)
    except Refused as err:
        return 1, str(err) or "a function is asked for outside of its domain"
    except Exception as err:  # whatever a damaged or foreign file leads to
        return 2, f"cannot be read: {type(err).__name__}: {err}"


def main(arguments):
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 2
    shown, worst = [0.0], 0

    def log(message):
        if sys.stderr.isatty() and time.monotonic() - shown[0] > 0.5:
            shown[0] = time.monotonic()
            print(f"\r\x1b[K{message[:100]}", end="", file=sys.stderr, flush=True)

    for path in map(Path, arguments):
        started = time.monotonic()
        status, words = decide(path, log)
        worst = max(worst, status)
        print(f"{('proved', 'REFUSED', 'UNREADABLE')[status]}  {path}  {words}  [{time.monotonic() - started:.1f} s]")
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
