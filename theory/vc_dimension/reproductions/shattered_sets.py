"""Lower bounds: sets that networks, routers and mixtures shatter, by all labelings or by certificate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from constructions import vc_dimension as sets
from constructions.vc_dimension.stacked_momlp import StackedMoMLP
from theory.claim import Context, Evidence, Number, Report, Status, Table, Verdict, ensure
from theory.vc_dimension import enclosed
from theory.vc_dimension.bounds import Architecture, vc_upper_flat, vc_upper_tree
from theory.vc_dimension.checkers import Shattered, certified, shattered_by_random_labelings, shattered_exhaustively

Named = tuple[str, Shattered, int]
"""A name, a set, and the number of points that the theorem promises."""


def _enumerate(context: Context, named: Iterable[Named]) -> dict[str, Number]:
    """All labelings of every set; the pairs of a labeling and a point, and the largest set."""
    pairs, largest = 0, 0
    for name, shattered, points in named:
        context.log(f"all labelings of {name}")
        report = shattered_exhaustively(shattered, device=context.device)
        ensure(report, name)
        ensure(report.points == points, f"{name}: {report.points} points, not {points}")
        pairs, largest = pairs + report.evaluations, max(largest, points)
    return {"labeling_point_pairs": pairs, "most_points_enumerated": largest}


def _certify(context: Context, named: Iterable[Named]) -> dict[str, Table]:
    """The certificate of every set: its points, and the largest off-cluster value where it has one."""
    points_of, values = [], []
    for name, shattered, points in named:
        context.log(f"certificate of {name}")
        report = certified(shattered)
        ensure(report, name)
        ensure(report.points == points, f"{name}: {report.points} points, not {points}")
        points_of.append((name, points))
        if report.worst is not None:
            values.append((name, report.worst))
    tables = {"certified": Table(("set", "points"), tuple(points_of))}
    return tables | ({"off_cluster": Table(("set", "largest_value"), tuple(values))} if values else {})


def _proved(context: Context, enumerated: Sequence[Named], by_certificate: Sequence[Named]) -> Verdict:
    numbers, tables = _enumerate(context, enumerated), _certify(context, by_certificate)
    reason = (
        f"{numbers['labeling_point_pairs']} (labeling, point) pairs without an error; certificates for all labelings "
        f"of up to {max(points for _, _, points in by_certificate)} points"
    )
    return Verdict(Status.PROVED, Evidence.EXACT, reason, numbers, tables=tables)


SMALL_LAYERS = [
    (2, 2),
    (2, 4),
    (3, 3),
    (4, 3),
    (6, 2),
    (12, 1),
    (1, 12),
    (2, 8),
    (3, 5),
    (4, 4),
    (5, 3),
    (8, 2),
    (16, 1),
]
LARGE_LAYERS = [(2, 2), (16, 16), (64, 64)]
"""(n, W) whose labelings are enumerated, and those that are certified."""


def one_hidden_layer(context: Context) -> Verdict:
    """Every labeling of small sets on its own network; a certificate sound for all 2^k labelings of large ones."""
    large = LARGE_LAYERS + [(128, 128)] * context.full

    def named(n: int, width: int) -> Named:
        return f"n={n} W={width}", sets.one_hidden_layer(n, width), n * width + 1

    return _proved(context, [named(*sizes) for sizes in SMALL_LAYERS], [named(*sizes) for sizes in large])


ENUMERATED_GRIDS = (2, 3, 4)
ENUMERATED_DEEP = [(2, 1, 4), (2, 2, 2), (3, 1, 2), (4, 1, 1), (2, 4, 1)]
ENUMERATED_WIDE = [(3, 2, 3), (4, 2, 2), (3, 4, 2)]
CERTIFIED_GRID = 33
CERTIFIED_DEEP = [(33, 8, 512), (53, 8, 1352), (17, 19, 2048), (41, 15, 7200), (129, 8, 8192)]
CERTIFIED_TWO_LAYERS_A_BIT = (2, 20, 43)
CERTIFIED_WIDE = (65, 8, 16)
"""Sizes: s of grids; (s, B, K), the certified ones by (J, W, points) as well; (n, H, K) of wide inputs."""


def deep(context: Context) -> Verdict:
    """Plane grids, deep bit extraction on R^3 and wide inputs."""
    enumerated = [(f"grid s={s}", sets.two_hidden_layers(s), s * s) for s in ENUMERATED_GRIDS]
    for s, blocks, bits in ENUMERATED_DEEP + [(2, 1, 5)] * context.full:
        enumerated.append((f"deep s={s} B={blocks} K={bits}", sets.deep(s, blocks, bits), blocks * s * s * bits))
    for n, units, bits in ENUMERATED_WIDE:
        enumerated.append((f"wide n={n} H={units} K={bits}", sets.wide(n, units, bits), (n - 1) * units * bits))
    s = CERTIFIED_GRID
    by_certificate: list[Named] = [(f"grid s={s}", sets.two_hidden_layers(s), s * s)]
    for depth, width, points in CERTIFIED_DEEP:
        sizes = sets.deep_sizes(depth, width) or {}
        by_certificate.append((f"deep J={depth} W={width}", sets.deep(**sizes), points))
    s, blocks, bits = CERTIFIED_TWO_LAYERS_A_BIT
    name = f"deep J={2 * (blocks + bits) + 1} W={max(2 * s + 3, 8)}, two layers a bit"
    by_certificate.append((name, sets.deep(s, blocks, bits, layers_per_bit=2), blocks * s * s * bits))
    n, units, bits = CERTIFIED_WIDE
    by_certificate.append((f"wide n={n} J={bits + 3} W={2 * units}", sets.wide(n, units, bits), (n - 1) * units * bits))
    return _proved(context, enumerated, by_certificate)


ENUMERATED_ROUTING = [(2, 5), (3, 4), (4, 3), (10, 2), (8, 2), (1, 8)]
ENUMERATED_PAIRS = [(2, 4), (3, 4), (2, 8), (1, 8)]
CERTIFIED_ROUTING = [(16, 17), (64, 65)]
"""(n, L)"""


def routing_only(context: Context) -> Verdict:
    """Reflections of the apex (flat) and pairs of prototypes (flat and tree): all labelings, or by certificate."""
    enumerated: list[Named] = []
    for n, experts in ENUMERATED_ROUTING:
        enumerated.append((f"flat n={n} L={experts}", sets.routing_only(n, experts), (experts - 1) * n + 1))
    for n, experts in ENUMERATED_PAIRS:
        points = experts // 2 * (n + 1)
        enumerated.append((f"tree n={n} L={experts}", sets.routing_pairs(n, experts, tree=True), points))
        enumerated.append((f"flat pairs n={n} L={experts}", sets.routing_pairs(n, experts, tree=False), points))
    by_certificate = [(f"flat n={n} L={L}", sets.routing_only(n, L), (L - 1) * n + 1) for n, L in CERTIFIED_ROUTING]
    for name, shattered, _ in by_certificate:
        report = shattered_by_random_labelings(shattered, 2, context.generator(), device=context.device)
        ensure(report, name)
    return _proved(context, enumerated, by_certificate)


ENUMERATED_MIXTURES: list[Named] = [
    ("n=2 W=1 L=4", sets.mixture(sets.one_hidden_layer(2, 1), 4), 12),
    ("n=2 W=2 L=2", sets.mixture(sets.one_hidden_layer(2, 2), 2), 10),
    ("n=2 W=1 L=3, valency 3", sets.mixture(sets.one_hidden_layer(2, 1), 3, valency=3), 9),
    ("grid s=2 L=3", sets.mixture(sets.two_hidden_layers(2), 3), 12),
]
CERTIFIED_MIXTURES: list[Named] = [
    ("n=4 W=4 L=8", sets.mixture(sets.one_hidden_layer(4, 4), 8), 136),
    ("n=16 W=16 L=16", sets.mixture(sets.one_hidden_layer(16, 16), 16), 4112),
    ("deep J=17 W=8 L=4", sets.mixture(sets.deep(2, 4, 8), 4), 512),
    ("deep J=17 W=11 L=8", sets.mixture(sets.deep(4, 4, 8), 8), 4096),
    ("wide n=9 J=11 W=8 L=5, valency 3", sets.mixture(sets.wide(9, 4, 8), 5, valency=3), 1280),
]


def mixture(context: Context) -> Verdict:
    """End to end through the mixtures' forward pass, and the product of exact routing and the experts' certificates."""
    return _proved(context, ENUMERATED_MIXTURES, CERTIFIED_MIXTURES)


# --- lower, upper and stated, side by side --------------------------------------------------------------

ROWS: dict[tuple[int, int, int, int], Shattered] = {
    (2, 1, 1, 4): sets.mixture(sets.one_hidden_layer(2, 1), 4),
    (2, 1, 2, 2): sets.mixture(sets.one_hidden_layer(2, 2), 2),
    (4, 1, 4, 8): sets.mixture(sets.one_hidden_layer(4, 4), 8),
    (16, 1, 16, 16): sets.mixture(sets.one_hidden_layer(16, 16), 16),
    (64, 1, 64, 1): sets.one_hidden_layer(64, 64),
    (2, 2, 64, 1): sets.two_hidden_layers(33),
    (3, 33, 8, 1): sets.deep(2, 8, 16),
    (3, 53, 8, 1): sets.deep(2, 13, 26),
    (3, 127, 8, 1): sets.deep(2, 20, 43, layers_per_bit=2),
    (3, 17, 19, 1): sets.deep(8, 4, 8),
    (3, 41, 15, 1): sets.deep(6, 10, 20),
    (65, 19, 16, 1): sets.wide(65, 8, 16),
    (3, 17, 8, 4): sets.mixture(sets.deep(2, 4, 8), 4),
    (3, 17, 11, 8): sets.mixture(sets.deep(4, 4, 8), 8),
}
"""(n, J, W, L) and a set that this architecture shatters."""
COLUMNS = ("n", "J", "W", "L", "lower", "upper_flat", "upper_tree", "stated")


def bounds(context: Context) -> Verdict:
    """Every set certified, run in float64 on random labelings, and read for whether it fits its architecture; every
    upper bound confirmed in balls."""
    rows = []
    for sizes, shattered in ROWS.items():
        context.log(f"(n, J, W, L) = {sizes}")
        n, depth, width, experts = sizes
        report = certified(shattered)
        sample = shattered_by_random_labelings(shattered, 4, context.generator(), device=context.device)
        for answer in (report, sample, _fits(shattered, n, depth, width)):
            ensure(answer, f"(n, J, W, L) = {sizes}")
        architecture = Architecture(n, depth, width)
        upper = vc_upper_flat(architecture, experts), vc_upper_tree(architecture, experts)
        ensure(min(upper) >= report.points, f"(n, J, W, L) = {sizes}: {upper} below {report.points}")
        for most, routed in zip(upper, (enclosed.flat, enclosed.tree), strict=True):
            growth = routed(n, experts, enclosed.mlp(architecture))
            ensure(enclosed.too_many(growth, most + 1, f"(n, J, W, L) = {sizes}"), "the upper bound")
        rows.append((*sizes, report.points, *upper, experts * max(n * experts, depth * width)))
    reason = f"{len(ROWS)} architectures: every set certified for all labelings and below both solved upper bounds"
    tables = {"architectures": Table(COLUMNS, tuple(rows))}
    return Verdict(Status.CERTIFIED, Evidence.ENCLOSED, reason, {"architectures": len(rows)}, tables=tables)


def _fits(shattered: Shattered, n: int, depth: int, width: int) -> Report:
    """Whether a set's networks fit n inputs and `depth` hidden layers of `width` units."""
    module = shattered.module(shattered.points[:, 0] > 0)
    expert = module.expert(0) if isinstance(module, StackedMoMLP) else module
    matrices = [part.weight for part in expert.modules() if isinstance(part, nn.Linear)]
    widths = [len(matrix) for matrix in matrices[:-1]]
    fit = matrices[0].shape[1] == n and len(widths) == depth and max(widths) <= width
    return Report(None if fit else f"networks on R^{matrices[0].shape[1]} with hidden layers of {widths} units")
