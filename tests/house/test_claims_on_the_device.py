"""Every claim of the registry says on the device what it says on the CPU, and works there; sizes suit a test."""

from dataclasses import replace

import pytest
import torch

from constructions.scaling_laws.curves import language_models, learning_curves
from constructions.scaling_laws.training import Schedule
from tests.house import pretend_accelerator
from theory.am_gm.reproductions import random_matrices as am_gm_samples
from theory.am_gm.reproductions import sampling as am_gm_sampling
from theory.bit_extraction.reproductions import networks
from theory.bit_extraction.reproductions import rates as bit_rates
from theory.checkers.uniform_error import certify, sampled, target_values
from theory.claim import Context, Table
from theory.demo_optimizer import energy as demo_energy
from theory.demo_optimizer import tasks as demo_tasks
from theory.demo_optimizer import training as demo_training
from theory.demo_optimizer.claims import COMPARED
from theory.demo_optimizer.reproductions import quadratics as demo_quadratics
from theory.demo_optimizer.reproductions import steps as demo_steps
from theory.demo_optimizer.reproductions import training as demo_comparisons
from theory.distributed_momlp import reproductions as distributed_momlp
from theory.lipschitz_expressiveness.reproductions import bits, gaussian, growth, measured, methods, points, sharp
from theory.lipschitz_expressiveness.reproductions import mixtures as gentle_mixtures
from theory.momlp.reproductions import mixtures as momlp
from theory.momlp.reproductions import rates
from theory.pathway_tree import reproductions as pathway_tree
from theory.scaling_laws.reproductions import curves as measured_curves
from theory.scaling_laws.reproductions import pruned, splines
from theory.scaling_laws.reproductions import trained as trained_students
from theory.shapley_interactions.reproductions import estimator, regression
from theory.sublinear_training import runs as sublinear_runs
from theory.sublinear_training.reproductions import counts as sublinear_counts
from theory.sublinear_training.reproductions import spectrum as sublinear_spectrum
from theory.sublinear_training.reproductions import training as sublinear_training
from theory.super_expressive import reproductions as super_expressive
from theory.systems import REGISTRY
from theory.trained_momlp import reproductions as trained_momlp
from theory.vc_dimension.reproductions import shattered_sets, stated_rate, upper_bounds

PROCESSES = "compares processes of their own, which work on the CPU (gloo) wherever the claim is asked to run"
NOT_THERE = {
    "demo_optimizer.payload_measured": PROCESSES,
    "demo_optimizer.trains_momlp": PROCESSES,
    "demo_optimizer.workers_agree": PROCESSES,
    "distributed_momlp.device_plan": PROCESSES,
    "distributed_momlp.same_outputs": PROCESSES,
}
"""Claims that cannot run on the device, and why."""

SYMBOLS = "symbols and exact integers; no tensor is made"
OPERATORS = "rational matrices, which are no tensors"
CERTIFICATES = "integer certificates, which are read on the host"
ON_THE_HOST = {
    "am_gm.certified_pairs": CERTIFICATES,
    "am_gm.five": SYMBOLS,
    "am_gm.five_constant": CERTIFICATES,
    "am_gm.four": CERTIFICATES,
    "am_gm.from_five_on": SYMBOLS,
    "am_gm.mean_against_square": SYMBOLS,
    "am_gm.pairs": SYMBOLS,
    "am_gm.random_iid": SYMBOLS,
    "am_gm.three": CERTIFICATES,
    "am_gm.three_by_three": SYMBOLS,
    "am_gm.two_forms": SYMBOLS,
    "bit_extraction.parameters": "sizes of layers, which are built on the host",
    "bit_extraction.rate": SYMBOLS,
    "demo_optimizer.converges_at_any_curvature": "rationals",
    "demo_optimizer.descent_direction": "balls and integers",
    "demo_optimizer.payload": SYMBOLS,
    "demo_optimizer.quadratic_convergence": "rationals",
    "demo_optimizer.wire": SYMBOLS,
    "lipschitz_expressiveness.coupled_lipsdp": "two units in rationals",
    "lipschitz_expressiveness.every_activation": "products of small matrices in rationals",
    "lipschitz_expressiveness.he_threshold": "symbols and balls; no tensor is made",
    "lipschitz_expressiveness.tent_map": "pieces in rationals",
    "lipschitz_expressiveness.trace_moments": SYMBOLS,
    "lipschitz_expressiveness.upper_bound": SYMBOLS,
    "lipschitz_expressiveness.width": SYMBOLS,
    "pathway_tree.nearest_prototype": "graphs in rationals",
    "scaling_laws.bandwidth_of_real_data": "rationals",
    "scaling_laws.nyquist_jump": "rationals",
    "scaling_laws.pruning_slope_is_gamma": SYMBOLS,
    "scaling_laws.realizable_teacher": "with the full budget alone",
    "scaling_laws.redundant_constant": SYMBOLS,
    "sublinear_training.distinct_points": "rationals",
    "sublinear_training.expected_visits": SYMBOLS,
    "sublinear_training.identities": "rationals",
    "sublinear_training.limit_gram": "balls",
    "sublinear_training.sparsity_exponent": SYMBOLS,
    "sublinear_training.sparsity_exponent_attained": "balls",
    "sublinear_training.width_hypothesis": SYMBOLS,
    "momlp.curse_of_dimensionality": SYMBOLS,
    "momlp.slopes": SYMBOLS,
    "momlp.trade_off": SYMBOLS,
    "shapley_interactions.constrained_wls": OPERATORS,
    "shapley_interactions.direct_wls": OPERATORS,
    "shapley_interactions.direct_wls_order3": OPERATORS,
    "shapley_interactions.index_forms": OPERATORS,
    "shapley_interactions.k_sii": OPERATORS,
    "shapley_interactions.split_wls": OPERATORS,
    "super_expressive.infinite_vc_dimension": SYMBOLS,
    "vc_dimension.finite": CERTIFICATES,
    "vc_dimension.routing_term": SYMBOLS,
    "vc_dimension.single_mlp_lower_bound": SYMBOLS,
    "vc_dimension.tree_router": SYMBOLS,
    "vc_dimension.weights_reading": SYMBOLS,
    "vc_dimension.width_condition": SYMBOLS,
    "vc_dimension.width_reading": CERTIFICATES,
}
"""Claims whose work is on the host wherever they are asked to run, and why."""

UNDECIDED = {f"trained_momlp.{task}" for task in (*trained_momlp.TASKS, "two_spirals_short")} | {
    f"scaling_laws.{name}" for name in ("better_than_last_value", "pruning", "realizable_error", "trained_grid")
}
UNDECIDED |= {
    f"demo_optimizer.{name}"
    for name in ("dense_transform", "compaction_explains_it", "energy_compaction_digits", "energy_compaction_text")
}
UNDECIDED |= {f"demo_optimizer.{a}_{b}" for a in ("comparable", "matches_or_exceeds") for b in COMPARED}
"""Claims that the small sizes leave open, or decide the other way."""

COUNTS_ITS_PLACE = {"distributed_momlp.memory_budget", "trained_momlp.budgeted_training"}
"""Claims that count the bytes of the device: on the CPU what waits for it on the host is among them, and compiled loops
share out a budget in their own way."""

SUMS_IN_ANOTHER_ORDER = {
    f"sublinear_training.{name}"
    for name in ("contraction", "contraction_any_labels", "fired_sets", "lazy_refreshes", "same_training")
} | {"sublinear_training.smallest_eigenvalue"}
"""Claims whose floating sums are matrix products on a device: their numbers agree to rounding, integers exactly."""

THERE = sorted(set(REGISTRY) - set(NOT_THERE))

FEW_STEPS = {name: (lambda name=name: replace(demo_tasks.TASKS[name](), steps=3)) for name in COMPARED}
UNTUNED = lambda task, method, device, wide=True: demo_training.Tuned(1e-2, ((1e-2, 1.0),))  # noqa: E731

FEW_SETTINGS = lambda context: [sublinear_runs.Setting(12, 6, 2**10, 0.24, 5)]  # noqa: E731

ALL_CURVES = learning_curves()
FEW_CURVES = {
    "DRAWS": 3,
    "LEAST_COVERAGE": 0.3,
    "measured_curves": lambda: ALL_CURVES[::40],
    "EVERY": 1,
    "SHUFFLES": 1,
    "runs_of_language_models": lambda: language_models()[:1],
}

SIZES = {
    am_gm_samples: {"TUPLES": 25, "SEARCH_STEPS": 3},
    am_gm_sampling: {"RUNS": 2000},
    certify: {"FORWARD_POINTS": 4},
    target_values: {"BALL_SAMPLES": 8},
    sampled: {"ASCENT_STARTS": 8, "ASCENT_STEPS": 2},
    networks: {
        "POINTS": 14,
        "REALISED": [(1, 0.1), (2, 0.4)],
        "DESIGNS": {1: (range(1), (3,)), 2: (range(1), (3,))},
        "HEADERS": (5,),
        "WORDS": (1, 2),
        "CELLS_BELOW": dict.fromkeys((1, 2, 3), 20),
        "SAMPLES": 500,
        "SAMPLED_EXPERTS": 4,
        "SAMPLED_EPS": 0.4,
        "CERTIFIED_TARGETS": ("cone",),
        "CERTIFIED": [(2, 0.4, 1, "wide")],
        "ATTACKED_TARGETS": ("cone",),
        "ATTACKED": [(1, 11), (2, 5)],
        "ATTACKS": 100,
        "DECODED": [(torch.float32, "wide")],
        "TABLES": 2,
        "BEYOND_CAP": range(2),
    },
    bit_rates: {"SAMPLES": 500, "BUILT": [(2, 1, 0.3, "1/2")]},
    distributed_momlp: {"BUDGETED": (0.03, 100), "BATCH": 20, "TIMES_SMALLER": 10},
    demo_training: {"TASKS": FEW_STEPS, "tuned_rate": UNTUNED, "train": demo_training.train.__wrapped__},
    demo_energy: {"STEPS": dict.fromkeys(("digits", "text"), (3, 3))},
    demo_comparisons: {"SEEDS": dict.fromkeys(demo_comparisons.SEEDS, (2, 2)), "ENERGY_SEEDS": (2, 2)},
    demo_quadratics: {"INSTANCES": 20},
    demo_steps: {"INSTANCES": 8, "LENGTH": 10},
    bits: {"MODELS": ((1, 0.01, "wide"),), "POINTS": 50},
    gaussian: {"SHAPES": ((2, 3), (5, 20)), "DEPTHS": (1, 2), "DRAWS": {32: 40, 64: 20, 96: 10}},
    gentle_mixtures: {"MODELS": ((1, 0.05), (2, 0.1)), "PAIRS": 500},
    growth: {"DRAWS": 1000},
    measured: {"DRAWS": 1000, "DEPTHS": (2, 3, 4), "SIZES": (8, 12, 16)},
    methods: {"QUICK_ROWS": (0,)},
    points: {"DRAWS": 1000},
    sharp: {"ONES": ((2, 3, 4),), "TENTS": 3},
    momlp: {
        "SAMPLES": 500,
        "LISTED_EPS": {1: 0.05, 2: 0.2},
        "LISTED_TARGETS": ("cone", "sharp"),
        "VARIANTS": {
            name: (f.replace("franke", "cone"), n, o | {"eps": 0.2}) for name, (f, n, o) in momlp.VARIANTS.items()
        },
        "QUERIES": 200,
        "CENTRES": 2,
        "BATCH": 100,
        "SHARP_EPS": (0.25,),
    },
    pathway_tree: {
        "TREES": [((30,), 2), ((5, 4, 3), 3)],
        "HUGE_TREES": [((16, 16), 2)],
        "SHAPES": ("circle", "torus"),
        "AMBIENT": (10,),
        "SLOPE_TOLERANCE": 0.5,
        "DELTA": {1: 0.4, 2: 1.0},
        "_deltas": lambda dimension, full: [0.8, 0.57, 0.4],
        "cloud_of": lambda name, n, context: pathway_tree.embedded(name, n, count=1000, generator=context.generator()),
    },
    rates: {"INPUTS": (1, 3), "EXPONENTS": range(2, 3), "TWO_OUTPUTS_EPS": 0.5, "WIDE_DOMAIN_EPS": 0.2},
    measured_curves: FEW_CURVES,
    trained_students: {
        "QUICK": replace(trained_students.QUICK, schedule=Schedule(400, decay=1e-3, watch=100), test=1000),
        "REALIZABLE_QUICK": replace(trained_students.REALIZABLE_QUICK, seeds=2, schedule=Schedule(20)),
        "SIDES_QUICK": (5,),
        "STEPS_QUICK": 20,
    },
    splines: {"WIDTHS_QUICK": (1, 2), "STEPS_QUICK": 20},
    pruned: {"QUICK": replace(pruned.QUICK, rounds=4, schedule=replace(pruned.QUICK.schedule, steps=40))},
    estimator: {"CASES": ((6, 3),), "GAMES": ((10, 30),), "DRAWS": 6},
    regression: {"SYMBOLIC_ORDERS": 2, "SCALAR_ORDERS": 3, "SCALAR_PLAYERS": 12, "LARGEST": 5},
    super_expressive: {"ENUMERATED": (1, 2), "SAMPLED": (16,), "FLOATS": (torch.float32,)},
    trained_momlp: {
        "BUDGETED": (10, 2),
        "QUICK": dict.fromkeys(trained_momlp.TASKS, trained_momlp.Protocol(2, 12, (1e-2,))),
        "SHORT": trained_momlp.Protocol(2, 12, (1e-2,)),
    },
    sublinear_counts: {
        "settings": FEW_SETTINGS,
        "SMALL": {2: (16, 20, 24), 5: (4, 5, 6)},
        "SAVES_NOTHING": 9.0,
        "SAVES": -9.0,
        "LAZY_SAVES": -9.0,
        "EXPONENTS": range(9, 12),
        "EAGER": (0, 2),
        "LAZY": (0, 2),
        "HYBRID": 0.5,
    },
    sublinear_spectrum: {"settings": FEW_SETTINGS, "TALL": ((8, 12),)},
    sublinear_training: {"settings": FEW_SETTINGS},
    shattered_sets: {
        "SMALL_LAYERS": [(2, 2), (4, 2)],
        "LARGE_LAYERS": [(16, 16)],
        "ENUMERATED_GRIDS": (2, 3),
        "ENUMERATED_DEEP": [(2, 1, 2)],
        "ENUMERATED_WIDE": [(3, 2, 2)],
        "CERTIFIED_GRID": 5,
        "CERTIFIED_DEEP": [(17, 8, 128)],
        "CERTIFIED_TWO_LAYERS_A_BIT": (2, 2, 3),
        "CERTIFIED_WIDE": (9, 4, 8),
        "ROWS": dict(list(shattered_sets.ROWS.items())[:3]),
        "ENUMERATED_MIXTURES": shattered_sets.ENUMERATED_MIXTURES[2:],
        "CERTIFIED_MIXTURES": shattered_sets.CERTIFIED_MIXTURES[:1],
        "ENUMERATED_ROUTING": [(4, 3), (8, 2)],
        "ENUMERATED_PAIRS": [(2, 4)],
        "CERTIFIED_ROUTING": [(8, 9)],
    },
    stated_rate: {
        "GRIDS": [16, 32],
        "DEPTHS": [9, 17, 33],
        "DEPTHS_AND_WIDTHS": [(9, 11), (17, 19)],
        "INPUTS": [9, 17],
        "PARAMETERS": ((1, 8), (1, 8), (1, 16), (1, 64)),
    },
    upper_bounds: {"RANDOM_CASES": 10, "SIZES": [(1, 1, 4), (4, 2, 4), (8, 8, 16)]},
}
"""Module -> the sizes of its claims for a test."""


@pytest.fixture
def brief(monkeypatch):
    """Sizes that suit a test, and one thread, since their work is too small to share."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for module, sizes in SIZES.items():
        for name, size in sizes.items():
            monkeypatch.setattr(module, name, size)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def refused(monkeypatch):
    """What the device refused, also where the refusal was caught."""
    found = []
    refuse = pretend_accelerator._refuse_strangers

    def noted(*arguments):
        try:
            refuse(*arguments)
        except RuntimeError as err:
            found.append(str(err))
            raise

    monkeypatch.setattr(pretend_accelerator, "_refuse_strangers", noted)
    return found


def _without_peaks(verdict):
    numbers = {k: v for k, v in verdict.numbers.items() if "peak" not in k and k not in ("hit_rate", "prefetched")}
    tables = dict(verdict.tables)
    if "runs" in tables:
        runs = tables["runs"]
        assert runs.columns[-1] == "peak"
        tables["runs"] = Table(runs.columns[:-1], tuple(row[:-1] for row in runs.rows))
    assert tables.keys() | verdict.numbers.keys() - numbers.keys()
    return replace(verdict, reason="", numbers=numbers, tables=tables)


def _to_rounding(verdict):
    def shortened(value):
        return float(f"{value:.6g}") * (abs(value) > 1e-9) if isinstance(value, float) else value

    numbers = {k: shortened(v) for k, v in verdict.numbers.items()}
    tables = {
        name: Table(table.columns, tuple(tuple(map(shortened, row)) for row in table.rows))
        for name, table in verdict.tables.items()
    }
    return replace(verdict, reason="", numbers=numbers, tables=tables)


def test_no_claim_is_forgotten():
    assert set(THERE) | set(NOT_THERE) == set(REGISTRY)
    assert not set(THERE) & set(NOT_THERE)
    assert set(ON_THE_HOST) | UNDECIDED | COUNTS_ITS_PLACE | SUMS_IN_ANOTHER_ORDER <= set(THERE)


@pytest.mark.parametrize("name", THERE)
def test_the_verdict_is_the_same(sim, brief, refused, name):
    """The same to the last bit, though two seeds decide nothing."""
    here = REGISTRY[name].verdict(Context())
    with pretend_accelerator.counting() as met:
        there = REGISTRY[name].verdict(Context(device=sim))
    if name in COUNTS_ITS_PLACE:
        here, there = _without_peaks(here), _without_peaks(there)
    if name in SUMS_IN_ANOTHER_ORDER:
        here, there = _to_rounding(here), _to_rounding(there)
    assert there == here
    assert refused == []
    assert there.numbers or there.tables
    assert name in UNDECIDED or there.status is REGISTRY[name].expected, there.reason
    assert (met.kinds.total() == 0) == (name in ON_THE_HOST), met


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["trained_momlp.budgeted_training", "distributed_momlp.memory_budget", "vc_dimension.mixture"]
)
def test_claims_of_full_size_hold_on_the_device(sim, name):
    assert REGISTRY[name].verdict(Context(device=sim)).status is REGISTRY[name].expected
