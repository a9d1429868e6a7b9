"""The checkerboard bit-extraction network, layer by layer, as one architecture for all functions.

    N(x) = c0 + q·Σ_v y_v·φ_v(z),  z = clamp(K(x − o)/s, 0, K),  φ_v the hats of the J1 (union jack) triangulation

exactly, for every x. 2^k classes of blocks are separated by gaps m − 1 cells wide; each class folds its
coordinates, looks its word up by the folds' sides, and decodes one bit a node along a snake, multiplied by hats
that vanish in the gaps, where the address may ramp and the word may be garbage.

Stages of a class: I (address bits), L (look-up), F (fold again), D (decoder), H (header bits), E. Symbols follow the
specification of the construction: u folded coordinate, g fold, a address, T local coordinate, A the largest
distance of a label, S the sum of hats so far, x and bbar the thresholded bit, mm = relu(S − bbar), acc the total.

Main definition: `layers_of`.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

from constructions.bit_extraction.design import Design
from constructions.bit_extraction.forms import Builder, Form, Layer, constant_entry
from constructions.bit_extraction.snake import exponents, snake

Rows = list[tuple[str, Form]]


Low = tuple[float, ...] | None


@lru_cache(maxsize=64)
def layers_of(
    design: Design, inputs: int, axes: tuple[int, ...], low: Low, side: tuple[float, ...], step: float
) -> tuple[Layer, ...]:
    """All layers, the affine output last, for the box low + [0, side] on `axes` of `inputs` coordinates; q = `step`.

    Where `low` is None each expert has a box of its own: behind its words the table holds (low + side)·K/side of each
    axis, the bias of the first layer.
    """
    return tuple(_Network(design, inputs, axes, low, side, step).build())


class _Network:
    """Pending forms of everything that is alive, while the layers are written down."""

    def __init__(self, design: Design, inputs: int, axes: tuple[int, ...], low: Low, side: tuple, step: float):
        self.design, self.step = design, step
        self.builder = Builder([f"x{i}" for i in range(inputs)])
        self.slopes = [(axis, design.cells / s) for axis, s in zip(axes, side, strict=True)]
        if low is None:
            self.reach = [constant_entry(design.table_size + i) for i in range(design.k)]
        else:
            tops = (a + s for a, s in zip(low, side, strict=True))
            self.reach = [Form({"": top * w}) for top, (_, w) in zip(tops, self.slopes, strict=True)]
        self.acc: Form | None = None
        self.z: list[Form] = []
        self.w: dict[int, Form] = {}

    def build(self) -> list[Layer]:
        d = self.design
        self._stage_0()
        for number, p in enumerate(itertools.product((0, 1), repeat=d.k)):
            self.number, self.p = number, p
            self.last = number == d.classes - 1
            self._stage_i()
            self._stage_l()
            self._stage_f()
            self._bits = exponents(d)
            (self._decode_line if d.k == 1 else self._decode)()
            self._stage_h()
        assert self.acc is not None
        self.builder.layer([("out", self.step * self.acc)])
        return self.builder.layers

    # --- rows that are carried on ---

    def _keep(self, rows: Rows, *, z: bool) -> None:
        """Put z and acc in front of the rows of a layer, append it, and let all forms point to it."""
        carried: Rows = [(f"z{i}", form) for i, form in enumerate(self.z)] if z else []
        if self.acc is not None:
            carried.append(("acc", self.acc))
        self.now = self.builder.layer(carried + rows)
        self.z = [self.now[f"z{i}"] for i in range(self.design.k)] if z else []
        if self.acc is not None:
            self.acc = self.now["acc"]

    def _live(self) -> Rows:
        return [(f"w{q}", form) for q, form in self.w.items()]

    def _reread(self, names: list[str]) -> list[Form]:
        return [self.now[name] for name in names]

    def _offsets(self) -> list[int]:
        m = self.design.m
        return [(m + 1) // 2 - m * p for p in self.p]

    def _fold(self, j: int) -> int:
        return self.design.m * 2 ** (self.design.J - j + 1)

    # --- stages ---

    def _stage_0(self) -> None:
        """z = clamp(K(x − o)/s, 0, K), in two layers."""
        x, cells = self.builder.channels(), self.design.cells
        rows: Rows = [
            (f"v{i}", reach - slope * x[f"x{axis}"])
            for i, (reach, (axis, slope)) in enumerate(zip(self.reach, self.slopes, strict=True))
        ]
        v = self.builder.layer(rows)
        self.now = self.builder.layer([(f"z{i}", cells - v[f"v{i}"]) for i in range(self.design.k)])
        self.z = [self.now[f"z{i}"] for i in range(self.design.k)]

    def _stage_i(self) -> None:
        """The sides of the J folds, saturated to 0 or 1 outside the gaps."""
        d = self.design
        self.address, self.sides = Form(), {}
        if d.J == 0:
            return
        u = [z + off for z, off in zip(self.z, self._offsets(), strict=True)]
        g: list[Form] = []
        for j in range(1, d.J + 2):
            rows: Rows = []
            if j < d.J:
                rows += [(f"f{i}", form) for i, form in enumerate(u)]
            if j <= d.J:
                rows += [(f"g{i}", form - self._fold(j)) for i, form in enumerate(u)]
            if j >= 3 and d.lookup == "deep":
                rows.append(("a", self.address))
            elif j >= 3:
                rows += [(f"b{weight}", form) for weight, form in self.sides.items()]
            if j >= 2:
                rows += [(f"s{i}", 1 - 2 * form) for i, form in enumerate(g)]
            self._keep(rows, z=True)
            if j >= 3 and d.lookup == "deep":
                self.address = self.now["a"]
            self.sides = {weight: self.now[f"b{weight}"] for weight in self.sides}
            if j >= 2:
                for i in range(d.k):
                    weight = d.J * i + d.J - (j - 1)
                    if d.lookup == "deep":
                        self.address = self.address + 2**weight * self.now[f"s{i}"]
                    else:
                        self.sides[weight] = self.now[f"s{i}"]
            if j <= d.J:
                g = [self.now[f"g{i}"] for i in range(d.k)]
            if j < d.J:
                u = [self.now[f"f{i}"] - 2 * form for i, form in enumerate(g)]

    def _entry(self, word: int, slot: int) -> int:
        """Index into the expert's table."""
        d = self.design
        return (self.number * d.words + word) * d.blocks + slot

    def _stage_l(self) -> None:
        d = self.design
        if d.J == 0:
            self.w = {q: constant_entry(self._entry(q, 0)) for q in range(d.words)}
        elif d.lookup == "deep":
            self._countdown()
        else:
            self._one_hot()

    def _countdown(self) -> None:
        """w = W_{N−1} − Σ (W_k − W_{k−1})·s_k; slot 0 of the table is W_{N−1}, slot k the difference."""
        d, c = self.design, self.address
        self.w = {q: constant_entry(self._entry(q, 0)) + 2 ** d.lengths[q] for q in range(d.words)}
        for k in range(1, d.blocks):
            rows: Rows = [("c", c - 1)] if k < d.blocks - 1 else []
            rows.append(("s", 1 - c))
            self._keep(rows + (self._live() if k >= 2 else []), z=True)
            if k < d.blocks - 1:
                c = self.now["c"]
            for q in self.w:
                before = self.now[f"w{q}"] if k >= 2 else self.w[q]
                self.w[q] = before + self.now["s"].times_entry(self._entry(q, k), -1)
        self.w = {q: form - 2 ** d.lengths[q] for q, form in self.w.items()}

    def _one_hot(self) -> None:
        """Rows e_i and columns o_j are one-hot in the address; v_j = relu(Σ_i W_{iC+j}·e_i + 2^b·(o_j − 1))."""
        d, columns = self.design, self.design.columns
        low = columns.bit_length() - 1
        rows_count = d.blocks // columns

        def one_hot(value: int, first: int, count: int) -> Form:
            form = Form({"": 1})
            for b in range(count):
                bit = self.sides[first + b]
                form = form - (bit if not (value >> b) & 1 else 1 - bit)
            return form

        high = d.k * d.J - low
        rows: Rows = [(f"e{i}", one_hot(i, low, high)) for i in range(rows_count)]
        if columns > 1:
            rows += [(f"o{j}", one_hot(j, 0, low)) for j in range(columns)]
        self._keep(rows, z=True)
        e = self._reread([f"e{i}" for i in range(rows_count)])

        def chosen(q: int, j: int) -> Form:
            parts = [e[i].times_entry(self._entry(q, i * columns + j)) for i in range(rows_count)]
            return Form({}, tuple(itertools.chain.from_iterable(part.entries for part in parts)))

        if columns == 1:
            self.w = {q: chosen(q, 0) for q in range(d.words)}
            return
        o = self._reread([f"o{j}" for j in range(columns)])
        self._keep(
            [
                (f"v{q}.{j}", chosen(q, j) + 2 ** d.lengths[q] * o[j] - 2 ** d.lengths[q])
                for q in range(d.words)
                for j in range(columns)
            ],
            z=True,
        )
        self.w = {q: Form({f"v{q}.{j}": 1 for j in range(columns)}) for q in range(d.words)}

    def _stage_f(self) -> None:
        """Fold again, then T = relu(tri(u) − (m−1)/2): 1 … m on the class's own nodes."""
        d = self.design
        u = [z + off for z, off in zip(self.z, self._offsets(), strict=True)]
        for j in range(1, d.J + 1):
            rows = [(f"f{i}", form) for i, form in enumerate(u)]
            rows += [(f"g{i}", form - self._fold(j)) for i, form in enumerate(u)]
            self._next(rows)
            u = [self.now[f"f{i}"] - 2 * self.now[f"g{i}"] for i in range(d.k)]
        self._next([(f"T{i}", form - (d.m - 1) // 2) for i, form in enumerate(u)])
        self.T = {i: self.now[f"T{i}"] for i in range(d.k)}
        self.S: Form | None = None
        self.waiting: Form | None = None  # bbar of a step bit whose mm is still to come

    def _next(self, rows: Rows) -> None:
        """A layer with the live words, in which z lives on only if another class follows."""
        self._keep(self._live() + rows, z=not self.last)
        self.w = {q: self.now[f"w{q}"] for q in self.w}

    # --- bits ---

    def _threshold(self) -> Rows:
        """x = relu(w − 2^e + 1) of the next bit; a word is dropped where its last bit is created."""
        word, e = self._bits[0]
        row: Rows = [("x", self.w[word] - 2**e + 1)]
        if e == 0:
            del self.w[word]
        return row

    def _subtract(self) -> None:
        """w ← w − 2^e·(1 − bbar), as a pending form."""
        word, e = self._bits.pop(0)
        if word in self.w:
            self.w[word] = self.w[word] - 2**e + 2**e * self.now["bbar"]

    def _add(self, form: Form) -> None:
        self.acc = form if self.acc is None else self.acc + form

    # --- stage D, k ≥ 2 ---

    def _decode(self) -> None:
        d = self.design
        rows = snake(d.m, d.k - 1)
        node = 0
        for number, rest in enumerate(rows):
            final_row = number == len(rows) - 1
            self.A: dict[int, Form] = {}
            for i in range(d.k - 1, 0, -1):
                self._set_up(i, rest[i - 1], final_row)
            line = list(range(1, d.m + 1)) if number % 2 == 0 else list(range(d.m, 0, -1))
            for j in line:
                node += 1
                self._visit(j, end_of_row=j == line[-1], final_node=node == d.nodes)

    def _label(self, axis: int, j: int) -> int:
        return (self.p[axis] + j - 1) % 2

    def _distance_rows(self, axis: int, j: int) -> Rows:
        """The parts of |T − j| beyond the largest distance of the same label so far."""
        distance, far = self.T[axis] - j, self.A.get(self._label(axis, j), Form())
        return [("r+", distance - far), ("r-", -distance - far)]

    def _carry(self, rows: Rows, *, coordinates: list[int], distances: bool = True) -> None:
        """A layer with T's, S, A's, and the mm that is due; then acc ← acc + 1 + 2·mm − S for it."""
        rows = rows + [(f"T{i}", self.T[i]) for i in coordinates]
        if self.S is not None:
            rows.append(("S", self.S))
        if distances:
            rows += [(f"A{label}", form) for label, form in self.A.items()]
        due = self.waiting is not None
        if self.waiting is not None:
            assert self.S is not None
            rows.append(("mm", self.S - self.waiting))
        self._next(rows)
        self.T = {i: self.now[f"T{i}"] for i in coordinates}
        self.A = {label: self.now[f"A{label}"] for label in self.A} if distances else {}
        if self.S is not None:
            self.S = self.now["S"]
        if due:
            self._add(1 + 2 * self.now["mm"] - self.now["S"])
            self.waiting = None

    def _set_up(self, axis: int, j: int, final_row: bool) -> None:
        label = self._label(axis, j)
        rows = self._distance_rows(axis, j)
        self._carry(rows, coordinates=[i for i in self.T if not (final_row and i == axis)])
        self.A[label] = self.A.get(label, Form()) + self.now["r+"] + self.now["r-"]

    def _visit(self, j: int, *, end_of_row: bool, final_node: bool) -> None:
        """alpha and beta of one node."""
        rows = self._distance_rows(0, j)
        rows += [] if final_node else self._threshold()
        self._carry(rows, coordinates=[i for i in self.T if not (final_node and i == 0)])
        hat = 1 - self.now["r+"] - self.now["r-"]
        for form in self.A.values():
            hat = hat - form
        rows = [("phi", hat)] + ([] if final_node else [("bbar", 1 - self.now["x"])])
        self._carry(rows, coordinates=list(self.T), distances=not end_of_row)
        self.S = self.now["phi"] if self.S is None else self.S + self.now["phi"]
        if not final_node:
            self._subtract()
            self.waiting = self.now["bbar"]

    # --- stage D on a line ---

    def _decode_line(self) -> None:
        """S_l = relu(cap − relu(T − l)), cap = min(1, T); Σ S_l = relu((m−1)·cap − relu(T − 1))."""
        m, cap, r, bbar = self.design.m, self.T[0], self.T[0], Form()
        for step in range(1, m + 1):
            rows: Rows = [("T" if step == 1 else "cap", cap), ("r", r - 1)]
            if step == 2:
                rows.append(("sig", (m - 1) * cap - r))
            if step >= 2:
                rows.append(("mm", cap - r - bbar))
            self._next(rows + self._threshold())
            if step == 2:
                self._add((m - 1) - self.now["sig"])
            if step >= 2:
                self._add(2 * self.now["mm"])
            cap, r = self.now["T"] - self.now["r"] if step == 1 else self.now["cap"], self.now["r"]
            rows = [("cap", cap), ("r", r)] if step < m else [("S", cap - r)]
            self._next([*rows, ("bbar", 1 - self.now["x"])])
            bbar = self.now["bbar"]
            self._subtract()
            if step < m:
                cap, r = self.now["cap"], self.now["r"]
        self.S = self.now["S"]
        self.waiting = bbar

    # --- stages H and E ---

    def _stage_h(self) -> None:
        """Header bits, one of weight 2^h each, then the last mm; the walk added one too much a step."""
        d = self.design
        for h in range(d.header - (2 if d.k == 1 else 1), -1, -1):
            assert self.S is not None
            rows: Rows = [("S", self.S)]
            if self.waiting is not None:
                rows.append(("mm", self.S - self.waiting))
            self._next(rows + self._threshold())
            if self.waiting is not None:
                self._add(2 ** (h + 1) * self.now["mm"])
            self._next([("S", self.now["S"]), ("bbar", 1 - self.now["x"])])
            self.S, self.waiting = self.now["S"], self.now["bbar"]
            self._subtract()
        assert self.S is not None
        assert self.waiting is not None
        self._next([("mm", self.S - self.waiting)])
        self._add(self.now["mm"] - (d.nodes - 1))
