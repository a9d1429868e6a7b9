#!/usr/bin/env python3
"""Re-decide momlp proof files: `python momlp_check.py FILE…`. Python's standard library is all it needs.

A proof file states something and holds what is needed to decide it again. Nothing in it is believed: every number is
derived anew, in integers, rationals, and intervals of integers rounded outward. docs/proofs.md has the format.
Exit status: 0 when every statement follows, 1 when one does not, 2 when a file cannot be read.
"""

import ast
import bisect
import contextlib
import functools
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
P, W = 96, 96 + 64  # an interval counts in units of 2^-P, and inside of functions in units of 2^-W
ONE, LARGEST, FAR = 1 << P, 1 << 14, 1 << 40  # nothing is known of exp beyond LARGEST, of sin, cos, atan beyond FAR


class Refused(Exception):
    """The statement does not follow from what the file holds."""


class Undecided(Refused):
    """Which of two numbers is larger is left open by their enclosures."""


class Unknown(Refused):
    """Nothing is known on this interval: it leaves a function's domain."""


def require(condition, why="", kind=Refused):
    if not condition:
        raise kind(why)


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
        require(other.lo > 0 or other.hi < 0, kind=Unknown)
        return self * Interval((ONE << P) // other.hi, -((-ONE << P) // other.lo))

    def __abs__(self):
        return Interval(max(0, self.lo, -self.hi), max(abs(self.lo), abs(self.hi)))

    def __pow__(self, k):
        """To a rational number."""
        if k < 0:
            return UNIT / self**-k
        if k.denominator > 1:
            ends = [exp(log(Interval(a, a)) * Interval.of(k)) if a else ZERO for a in self]
            return Interval(ends[0].lo, ends[1].hi)
        low, high = (math.prod([Interval(a, a)] * int(k), start=UNIT) for a in (self if k % 2 else abs(self)))
        return Interval(low.lo, high.hi)

    def sqrt(self):
        require(self.lo >= 0, kind=Unknown)
        return Interval(math.isqrt(self.lo << P), math.isqrt((self.hi << P) - 1) + 1 if self.hi else 0)


UNIT, ZERO = Interval(ONE, ONE), Interval(0, 0)

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
    require(a <= LARGEST << P, kind=Unknown)
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
    require(a > 0, kind=Unknown)
    k = a.bit_length() - 1 - P
    k += a << 1 >= 3 << (P + k)
    one = Fraction(2) ** (P + k)
    z = (a - one) / (a + one)
    near = odd_series((z.numerator << W) // z.denominator, 1)
    return Interval(2 * near.lo + k * LOG2_W[k < 0], 2 * near.hi + k * LOG2_W[k >= 0]).outward(W - P)


def circle_at(a):
    """(sin, cos): Taylor's sums after the nearest multiple of pi/2 is taken off, their terms off by at most 3 units."""
    require(abs(a) <= FAR << P, kind=Unknown)
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


@functools.lru_cache(1 << 16)
def wave(x, part):
    """sin (part 0) or cos (part 1): at both ends, and the extrema (k + (1 - part)/2) pi that may lie between."""
    at = [[((2 * end << (W - P)) - (1 - part) * pi) // (2 * pi) for pi in PI_W] for end in x]
    inside, odd, ends = max(at[1]) - min(at[0]), max(at[1]) % 2, Interval.hull(circle_at(end)[part] for end in x)
    return Interval(-ONE if inside > 1 - odd else ends.lo, ONE if inside > odd else ends.hi)


def atan_at(a):
    """atan y = 2 atan(y/(1 + sqrt(1 + y^2))), thrice, and |y| < tan(pi/16) < 1/3 then."""
    require(abs(a) <= FAR << P, kind=Unknown)
    y = Interval(a, a)
    for _ in range(3):
        y /= UNIT + (UNIT + y * y).sqrt()
    low, high = (odd_series(end << (W - P), -1) for end in y)
    return Interval(8 * low.lo, 8 * high.hi).outward(W - P)


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
        return x if isinstance(x, Dual) else cls(Interval.of(x), {})

    def chain(self, value, derivative):
        try:
            return Dual(value, self.slopes and {a: s * d for d in [derivative()] for a, s in self.slopes.items()})
        except Unknown:
            return Dual(value, None)

    def __neg__(self):
        return self.chain(-self.value, lambda: -UNIT)

    def __add__(self, other):
        value, other = self.value + Dual.of(other).value, Dual.of(other).slopes
        if not (self.slopes and other):
            return Dual(value, None if None in (self.slopes, other) else self.slopes or other)
        return Dual(value, {a: self.slopes.get(a, ZERO) + other.get(a, ZERO) for a in self.slopes.keys() | other})

    def __mul__(self, other):
        other = Dual.of(other)
        left, right = self.chain(self.value, lambda: other.value), other.chain(other.value, lambda: self.value)
        return Dual(self.value**2 if self is other else self.value * other.value, (left + right).slopes)

    def __pow__(self, k):
        return self.chain(self.value**k, lambda: Interval.of(k) * self.value ** (k - 1)) if k else Dual(UNIT, {})

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return Dual.of(other) - self

    __radd__, __rmul__ = __add__, __mul__

    def __lt__(self, other):
        """The same everywhere on the box, or Undecided."""
        x, y = self.value, Dual.of(other).value
        require(x.hi < y.lo or y.hi < x.lo, "the enclosures of two numbers overlap", Undecided)
        return x.hi < y.lo

    def __gt__(self, other):
        return Dual.of(other) < self

    def __eq__(self, other=0):
        raise Refused("whether two enclosed numbers are equal is never decided")

    __le__, __ge__, __ne__, __bool__ = __lt__, __gt__, __eq__, __eq__
    __len__ = __iter__ = __getitem__ = None  # a real has no parts


def function(fn, derivative):
    def on_duals(x):
        value = fn(Dual.of(x).value)
        return Dual.of(x).chain(value, lambda: derivative(Dual.of(x).value, value))

    return on_duals


def either(value, parts):
    """A function that is everywhere one of the parts."""
    if any(part.slopes is None for part in parts):
        return Dual(value, None)
    axes = set().union(*(part.slopes for part in parts))
    return Dual(value, {a: Interval.hull(part.slopes.get(a, ZERO) for part in parts) for a in axes})


def largest(*parts):
    parts = list(map(Dual.of, parts))
    value = Interval(max(part.value.lo for part in parts), max(part.value.hi for part in parts))
    return either(value, [part for part in parts if part.value.hi >= value.lo])


def piecewise(*branches):
    """The first branch whose condition holds; all that may be it where that is open."""
    found = []
    for branch, condition in branches:
        everywhere = None
        with contextlib.suppress(Undecided):
            everywhere = condition()
        found += [Dual.of(branch())] if everywhere is not False else []
        if everywhere:
            return either(Interval.hull(part.value for part in found), found)
    raise Unknown  # nothing says what f is where no condition holds


sine = function(lambda x: wave(x, 0), lambda x, y: wave(x, 1))
cosine = function(lambda x: wave(x, 1), lambda x, y: -wave(x, 0))
power_e, HALF = function(exp, lambda x, y: y), Fraction(1, 2)
ON_REALS = {"sin": sine, "cos": cosine, "tan": lambda x: sine(x) * cosine(x) ** -1, "exp": power_e}
ON_REALS |= {"pi": Dual(PI, {}), "E": Dual(exp(UNIT), {}), "tanh": lambda x: 1 - 2 * (power_e(2 * x) + 1) ** -1}
ON_REALS |= {"sinh": lambda x: HALF * (power_e(x) - power_e(-x)), "cosh": lambda x: HALF * (power_e(x) + power_e(-x))}
ON_REALS |= {"log": function(log, lambda x, y: UNIT / x), "sqrt": function(Interval.sqrt, lambda x, y: UNIT / (y + y))}
ON_REALS |= {"atan": function(increasing(atan_at), lambda x, y: UNIT / (UNIT + x**2)), "Piecewise": piecewise}
ON_REALS |= {"Abs": lambda x: largest(x, -x), "Max": largest, "Min": lambda *many: -largest(*(-x for x in many))}

_nodes = "Expression Constant Name Load UnaryOp USub BinOp Add Sub Mult Div Pow Compare Lt LtE Gt GtE Call Tuple"
ALLOWED = tuple(getattr(ast, name) for name in _nodes.split())
_nodes = "Store Mod Eq NotEq In BoolOp And Or Not IfExp List ListComp comprehension Subscript Lambda arguments arg"
ALLOWED_IN_FACTS = ALLOWED + tuple(getattr(ast, name) for name in _nodes.split())


class Rewritten(ast.NodeTransformer):
    """No operation makes a float, the arguments of Piecewise are evaluated when needed, and constants once."""

    def __init__(self, text, space):
        self.text, self.space = text, space

    def visit(self, node):
        node = super().visit(node)
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        if isinstance(node, ast.Call | ast.UnaryOp | ast.BinOp) and names <= self.space.keys():
            with contextlib.suppress(Exception):
                code = compile(ast.fix_missing_locations(ast.Expression(node)), "formula", "eval")
                node = self.constant(eval(code, self.space))
        return node

    def constant(self, value):
        name = str(len(self.space))  # which no formula can name
        self.space[name] = value
        return ast.Name(name, ast.Load())

    def visit_Constant(self, node):
        return self.constant(Fraction(ast.get_source_segment(self.text, node))) if type(node.value) is float else node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        name = {ast.Div: "divided", ast.Pow: "power"}.get(type(node.op))
        return ast.Call(ast.Name(name, ast.Load()), [node.left, node.right], []) if name else node

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "Piecewise":
            for arg in node.args:
                arg.elts = [ast.Lambda(ast.arguments([], [], None, [], [], None, []), part) for part in arg.elts]
        return node


def power(x, k):
    if not isinstance(x, int | Fraction):
        return x**k
    return Dual.of(x) ** k if k != int(k) else x ** int(k) if k >= 0 else Fraction(x) ** int(k)


def divided(x, y):
    found = x * power(y, -1)
    return found.numerator if isinstance(found, Fraction) and found.denominator == 1 else found


HIDDEN = {"__builtins__": {}, "__debug__": True, "True": True, "power": power, "divided": divided}


def compiled(text, names, space, allowed=ALLOWED):
    """A formula as a function of a dictionary of its variables; Refused for anything outside the language."""
    tree, names = ast.parse(text.strip(), mode="eval"), set(names)
    for node in ast.walk(tree):
        good = isinstance(node, allowed) and not getattr(node, "keywords", ()) and text.isascii() and "#" not in text
        good = good and (not isinstance(node, ast.Constant) or type(node.value) in (int, float) or node.value is True)
        require(good, f"{ast.unparse(node)!r} is not part of the language")
        if isinstance(node, ast.arg) or isinstance(getattr(node, "ctx", None), ast.Store):
            names |= {getattr(node, "arg", getattr(node, "id", None))}
    require(not names & {*HIDDEN, *space}, f"{sorted(names & {*HIDDEN, *space})} have a meaning already")
    unknown = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - {*space, *names}
    require(not unknown, f"{sorted(unknown)} are not part of the language")
    space = HIDDEN | space
    code = compile(ast.fix_missing_locations(Rewritten(text.strip(), space).visit(tree)), "formula", "eval")
    return lambda values: eval(code, space | values)


def terms(x):
    return x.terms if isinstance(x, Polynomial) else {(): Fraction(x)} if x != 0 else {}


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

    __radd__, __rmul__, __bool__ = __add__, __mul__, None


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


def rounding(layers, sizes, bits):
    """How far outputs may be off when computed in floats, sums in any order, for inputs of these sizes, in units of
    2^-P. A float is off by its 2^bits-th part, underflow loses less than a unit, activations add nothing."""
    off, most = [-(-v >> bits) for v in sizes], sizes
    for weights, biases in layers:
        sums = [[-(-abs(w).hi * v >> P) for w, v in zip(row, most, strict=True)] for row in weights]
        moved = [sum(-(-abs(w).hi * v >> P) for w, v in zip(row, off, strict=True)) for row in weights]
        most = [sum(row) + abs(b).hi for row, b in zip(sums, biases, strict=True)]
        off = [o - (-(len(off) + 4) * (v + o) >> bits) + 1 for o, v in zip(moved, most, strict=True)]
        require(max([*sizes, *most]) < 1 << (P + 5 * bits), "floats may overflow")
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
        self.domain = [tuple(map(Fraction, map(float, side))) for side in zip(*plan["domain"], strict=True)]
        good = [s < t for s, t in self.domain] == [True] * self.n and min(self.cells, default=1) >= 1
        self.sizes = [abs(Interval.hull(map(Interval.of, side))).hi for side in self.domain]
        self.leaves, self.bits = math.prod(self.cells), {"float64": 53, "float32": 24}[plan["dtype"]]
        weight, bias = self.numbers("hidden_weight", self.k, self.n), self.numbers("hidden_bias", self.k)
        self.hidden = rows(weight, self.n, self.k), rows(bias, self.k, 1)[0]
        self.out = rows(self.numbers("out_weight", self.leaves, self.m, self.k), self.k, self.leaves * self.m)
        self.bias = rows(self.numbers("out_bias", self.leaves, self.m), self.m, self.leaves)
        bent = rows(self.numbers("slope", self.k), self.k, 1)[0] if plan["activation"] == "prelu" else [ZERO] * self.k
        good = good and all([*map(any, row)] == [False] * (self.n - 1) + [True] for row in self.hidden[0])
        require(good and all(abs(a).hi <= ONE for a in bent), "no cells, or units of other axes, or that bend by more")
        at = [-b / w for b, w in zip(bias, weight[self.n - 1 :: self.n], strict=True)]  # exact: their order matters
        units = [(t, row[-1], b, a, j) for j, (t, row, b, a) in enumerate(zip(at, *self.hidden, bent, strict=True))]
        self.kinks = sorted((t, Interval.of(t), abs(w) * (UNIT - a), j) for t, w, _, a, j in units)
        self.left = [(w, b) if w.lo < 0 else (w * a, b * a) for _, w, b, a, _ in units]

    def numbers(self, name, *shape):
        entry = self.header[name]
        first, last = (self.start + offset for offset in entry["data_offsets"])
        require(entry["shape"] == list(shape), f"the model's tensor {name!r} has not the shape {shape}")
        form = f"<{math.prod(shape)}{ {('F64', 53): 'd', ('F32', 24): 'f'}[entry['dtype'], self.bits] }"
        return list(map(Fraction, struct.unpack(form, self.data[first:last])))

    def layers(self, leaf):
        return [self.hidden, (self.out[leaf * self.m : (leaf + 1) * self.m], self.bias[leaf])]

    def cell(self, leaf):
        """The leaf's box, and as much more as rounding may move its faces: (x - lo)(M/l) in floats is off by 4u."""
        box = list(self.domain)
        for a, count in reversed(list(enumerate(self.cells))):
            leaf, i = divmod(leaf, count)
            low, high = self.domain[a]
            width, more = (high - low) / count, (high - low) / 2**51
            box[a] = max(low, low + i * width - more), min(high, low + (i + 1) * width + more)
        return box

    def network(self, leaf):
        """The outputs of inputs (duals): between two kinks value + slope x, x on the last axis."""
        pieces, (_, (weights, biases)) = [], self.layers(leaf)
        for row, value in zip(weights, biases, strict=True):
            slope = ZERO
            for w, (a, b) in zip(row, self.left, strict=True):
                slope, value = (slope + w * a, value + w * b) if any((*a, *b)) else (slope, value)
            pieces.append([(value, slope)])
            for _, t, bend, j in self.kinks:
                bend *= row[j]
                slope, value = slope + bend, value - bend * t
                pieces[-1].append((value, slope))
        starts, ends = [t.lo for _, t, *_ in self.kinks], [t.hi for _, t, *_ in self.kinks]

        def outputs(x):
            at = x[-1].value
            first = bisect.bisect_right(ends, at.lo)  # what touches at an end alone does not matter
            last = max(first, bisect.bisect_left(starts, at.hi))
            for part in pieces:
                slopes = {self.n - 1: Interval.hull(slope for _, slope in part[first : last + 1])}
                yield Dual(Interval.hull(value + slope * at for value, slope in part[first : last + 1]), slopes)

        return outputs


def rows(numbers, width, count):
    return [list(map(Interval.of, numbers[i * width : (i + 1) * width])) for i in range(count)]


def difference(f, network, box):
    """Bounds of |f_i - network_i| on a box, in units of 2^-P: by values, or by slopes and the value at the centre."""
    found = []
    for where in (box, [((s + t) / 2,) * 2 for s, t in box]):
        x = [Dual(Interval.hull(map(Interval.of, s)), {a: UNIT} if where is box else {}) for a, s in enumerate(where)]
        outputs = f({f"x{a}": part for a, part in enumerate(x)})
        found.append([Dual.of(f) - v for f, v in zip(outputs, network(x), strict=True)])
    for wide, middle in zip(*found, strict=True):
        rise = [(abs(s) * Interval.of((box[a][1] - box[a][0]) / 2)).hi for a, s in (wide.slopes or {}).items()]
        yield min([abs(wide.value).hi] + [abs(middle.value).hi + sum(rise)] * (wide.slopes is not None))


def cut(cuts, box, f, network):
    """The largest bound on the boxes that a cell is cut into, in units of 2^-P."""
    largest, stack = 0, [box]
    for letter in cuts:
        require(stack, "there are more cuts than boxes")
        box = stack.pop()
        if letter == ".":
            largest = max(largest, *difference(f, network, box))
            continue
        a, (low, high) = int(letter, 36), box[int(letter, 36)]
        for part in ((low + high) / 2, high), (low, (low + high) / 2):
            stack.append([*box[:a], part, *box[a + 1 :]])
    require(not stack, f"{len(stack)} boxes are not looked at")
    return largest


def declared(premise, model, leaf, network):
    """A bound on a cell, given |f(x) - f(y)| <= L |x - y|^alpha (Euclidean) and the values of f at nodes (middle, t):
    between two knots t the network is affine, and s^(alpha/2) is concave in s = |x - y|^2."""
    middle, knots = ([Fraction(v) for v in part] for part in (premise["middles"][leaf], premise["knots"]))
    constant, alpha = Fraction(premise["lipschitz"]), Fraction(premise["exponent"])
    whole = not knots or ((knots[0], knots[-1]) == model.domain[-1] and knots == sorted(knots))
    good = whole and len(middle) + bool(knots) == model.n and (knots or not model.kinks)
    require(good and constant >= 0 < alpha <= 1, "the premise is no modulus and nodes that span the cell")
    require({t for t, *_ in model.kinks} <= set(knots), "between two knots the network is not affine")
    far = sum(max(abs(s - c), abs(t - c)) ** 2 for (s, t), c in zip(model.cell(leaf), middle, strict=False))
    far += max(((t - s) ** 2 for s, t in itertools.pairwise(knots)), default=0) * HALF**2
    missed, nodes = 0, [[*middle, t] for t in knots] or [middle]
    for node, values in zip(nodes, premise["values"][leaf], strict=True):
        for y, v in zip(network(list(map(Dual.of, node))), values, strict=True):
            missed = max(missed, *abs(y.value - Interval.of(Fraction(v))))
    return missed + (Interval.of(far) ** (alpha / 2) * Interval.of(constant)).hi


def uniform_error(proof, folder, log):
    """|f - model| <= eps on the domain. The proof says how each cell is cut; every bound is computed here. Or f is not
    known: its modulus and values are premises."""
    model = Mixture(folder / proof["model"]["file"], proof["model"]["sha256"])
    require([list(map(str, side)) for side in model.domain] == proof["domain"], "the domain is not the model's")
    eps, parts, premise = Fraction(proof["eps"]), list(map(str, proof["cuts"])), proof.get("premise")
    f = premise or compiled(proof["formula"] + ",", [f"x{a}" for a in range(model.n)], ON_REALS)
    require(len(parts) == model.leaves, "there are not as many cells as the model has")
    for leaf, cuts in enumerate(parts):
        log(f"cell {leaf + 1} of {model.leaves}")
        off, network = max(rounding(model.layers(leaf), model.sizes, model.bits)), model.network(leaf)
        bound = declared(f, model, leaf, network) if premise else cut(cuts, model.cell(leaf), f, network)
        require(bound + off <= eps * ONE, f"cell {leaf}: the bound is {float(Fraction(bound + off, ONE)):.6g}")
    name, boxes, given, least = proof["formula"], sum(cuts.count(".") for cuts in parts), "", f"{float(eps):.9g}"
    least, where = least if Fraction(float(least)) >= eps else eps, " x ".join(f"[{s}, {t}]" for s, t in model.domain)
    if premise:
        name, lam, alpha = "f", premise["lipschitz"], premise["exponent"]
        given = f"if f has the values in the file and |f(x) - f(y)| <= {lam} |x - y|^({alpha}): "
    return f"{given}sup |{name} - model| <= {least} on {where}, rounding included ({boxes} boxes)"


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

    h, g = matrix(proof["H"], 0), matrix(proof["G"], 1)
    excess = defaultdict(Fraction, dict.fromkeys(itertools.permutations(range(n), m), Fraction(sign)))
    excess[()] -= bound
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
    names = [*HIDDEN, *IN_FACTS, *proof["variables"], *proof["data"], *(name for name, _ in proof["definitions"])]
    good = len(set(names)) == len(names) and all(name.isidentifier() and name.isascii() for name in names)
    require(good, "a name has a meaning already, or is none")
    space = {**IN_FACTS, **{name: Polynomial({(name,): 1}) for name in proof["variables"]}}
    for name, value in [*proof["data"].items(), *proof["definitions"]]:
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
        contents = json.loads(file.read(MOST_BYTES), parse_float=str)  # what is longer ends early, and is no JSON then
    if contents.get("format") == "momlp-amgm-sos" and contents["version"] == 1:
        return "matrix_inequality", contents
    good = (contents.get("format"), contents["version"], contents["kind"] in KINDS) == (FORMAT, VERSION, True)
    require(good, f"no proof file of version {VERSION}", ValueError)
    text = json.dumps({k: v for k, v in contents.items() if k != "sha256"}, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    require(digest == contents["sha256"], "its digest differs: it was altered or damaged", ValueError)
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
        return print(__doc__) or 2
    shown, worst = [0.0], 0

    def log(message):
        if sys.stderr.isatty() and time.monotonic() - shown[0] > 0.5:
            shown[0] = time.monotonic()
            print(f"\r\x1b[K{message[:100]}", end="", file=sys.stderr, flush=True)

    for path in map(Path, arguments):
        started, (status, words) = time.monotonic(), decide(path, log)
        worst = max(worst, status)
        words = f"{('proved', 'REFUSED', 'UNREADABLE')[status]}  {path}  {words}  [{time.monotonic() - started:.1f} s]"
        print("".join(c if c.isprintable() else "?" for c in words))  # a line for each file, whatever it holds
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
