"""What is counted: fired pairs and visited nodes against their expectation, refreshes, operations, exponents."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from constructions.sublinear_training.methods import METHODS
from theory.claim import Context, Evidence, Report, Status, Table, Verdict, ensure
from theory.rates import fit_slope
from theory.sublinear_training import bounds
from theory.sublinear_training.checkers.fired_set import visited_nodes, written_nodes
from theory.sublinear_training.checkers.stale import StaleReplay, enclosed_chain, refresh_chain, reports_grow_less
from theory.sublinear_training.checkers.steps import look
from theory.sublinear_training.runs import Observed, Setting, observe, problem, settings

DEVIATIONS = 4.5
EXPONENTS, EXPONENTS_FULL = range(10, 15), range(10, 19)
EAGER, LAZY, HYBRID = (0.70, 0.90), (0.6, 0.85), 0.98
SAVES_NOTHING, SAVES, LAZY_SAVES = 0.02, 0.04, 0.14
SMALL = {2: (16, 32, 64, 90), 3: (8, 12, 16, 20), 5: (4, 5, 6)}
SMALL_FULL = {2: (16, 32, 64, 128, 200), 3: (8, 12, 16, 24, 32), 4: (6, 8, 10, 14), 5: (4, 5, 6, 8), 6: (3, 4, 5, 6)}


def fired_count(context: Context) -> Verdict:
    rows, seeds = [], (5 if context.full else 1)
    for setting in settings(context)[:6]:
        for k in range(seeds):
            here = Setting(setting.n, setting.d, setting.m, setting.alpha, setting.seed + 997 * k)
            about, firing = problem(here, context.device), here.firing
            seen = observe(here, "hybrid", context.device).looks[0]
            sigma = bounds.count_deviation(about.points, here.m, firing.bias)
            fired = (seen.fired / here.n - firing.expected) / sigma
            expected = here.n * bounds.expected_visits(here.m, firing.p)
            visits = (visited_nodes(seen.mask) / expected - 1) / (sigma / firing.expected)
            rows.append(
                (str(here), seen.fired, here.n * firing.expected, fired, visited_nodes(seen.mask), expected, visits)
            )
            ensure(abs(fired) <= DEVIATIONS, f"{here}: {fired:.2f} deviations from m p")
            ensure(abs(visits) <= DEVIATIONS, f"{here}: {visits:.2f} deviations from n E V")
    worst = max(max(abs(r[3]), abs(r[6])) for r in rows)
    reason = f"fired pairs and visited nodes of {len(rows)} settings within {worst:.2f} deviations of their expectation"
    columns = ("setting", "fired", "n m p", "deviations", "visited", "n E V", "deviations of visits")
    tables = {"settings": Table(columns, tuple(rows))}
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, {"most deviations": worst}, tables=tables)


# --- stale keys -----------------------------------------------------------------------------------------------


def lazy_refreshes(context: Context) -> Verdict:
    rows = []
    for setting in settings(context):
        context.log(str(setting))
        seen, radius = observe(setting, "lazy", context.device), setting.radius
        about = problem(setting, context.device)
        replay, own = StaleReplay(seen.weights[0], about.points, about.bias, radius), 0
        for weight in seen.weights[1:]:
            own += len(replay.moved(weight))
        said = sum(r.measured.refreshed for r in seen.records)
        chain = refresh_chain(list(seen.weights), radius, max(own, said))
        ensure(chain.holds, f"{setting}: {chain}")
        ensure(enclosed_chain(list(seen.weights), radius, max(own, said)), str(setting))
        ratio = _reported_at_first(setting)
        ensure(reports_grow_less(setting.firing.bias, radius), str(setting))
        rows.append((str(setting), said, own, chain.floors, chain.squares, chain.minkowski, ratio))
    reason = f"refreshes ≤ Σ⌊P/R⌋ ≤ Σ(P/R)² ≤ (Σ‖ΔW‖/R)² in {len(rows)} runs, and reports grow less than e^(R h)-fold"
    columns = ("setting", "refreshes", "replayed", "floors", "squares", "Minkowski", "expected reports / fired")
    return Verdict(Status.CERTIFIED, Evidence.ENCLOSED, reason, {}, tables={"runs": Table(columns, tuple(rows))})


def _reported_at_first(setting: Setting) -> float:
    """P[N > b − R]/P[N > b]."""
    return bounds.tail(setting.firing.bias - setting.radius) / setting.firing.p


# --- operations -----------------------------------------------------------------------------------------------


def counted_operations(setting: Setting, method: str, seen: Observed, device: torch.device) -> list[int]:
    """Operations of every step, counted from the weights of the run alone (formulas: docs/sublinear_training.md)."""
    about = problem(setting, device)
    replay = StaleReplay(seen.weights[0], about.points, about.bias, setting.radius)
    totals = []
    for before, after in pairwise(seen.weights):
        now = look(before, about)
        m, n, d, units = setting.m, setting.n, setting.d, now.touched
        common = 2 * now.fired + now.joined + n * n + n**3 // 3 + 2 * now.fired * d
        reported, candidates = replay.reported()
        far = replay.moved(after)
        tested = 2 * int(reported.sum()) + 2 * d * int(candidates.sum())
        rekeyed = 2 * len(units) * d + 2 * n * d * len(far)
        totals.append(
            {
                "dense": 4 * m * n * d + 2 * n * n * m + n * m + n**3 // 3,
                "hybrid": 2 * m * n * d + n * m + common,
                "flat": n * m + tested + common + rekeyed + n * len(far),
                "eager": visited_nodes(now.mask) + common + 2 * n * len(units) * d + n * written_nodes(units, m),
                "lazy": visited_nodes(reported) + tested + common + rekeyed + n * written_nodes(far, m),
            }[method]
        )
    return totals


def operations_are(setting: Setting, method: str, seen: Observed, device: torch.device) -> Report:
    """Whether the run's own counts are these, step by step."""
    own = counted_operations(setting, method, seen, device)
    said = [r.operations["total"] for r in seen.records]
    return Report(None if own == said else f"{method}, {setting}: {said} operations are said, {own} counted")


def operations(context: Context) -> Verdict:
    exponents = EXPONENTS_FULL if context.full else EXPONENTS
    steady: dict[str, list[int]] = {method: [] for method in METHODS}
    first: dict[str, list[int]] = {method: [] for method in METHODS}
    for e in exponents:
        setting = Setting(32, 16, 2**e, 0.24, 3200 + e)
        for method in METHODS:
            context.log(f"{method}, {setting}")
            seen = observe(setting, method, context.device)
            ensure(operations_are(setting, method, seen, context.device), "counts")
            steady[method].append(seen.records[-1].operations["total"])
            first[method].append(seen.records[0].operations["total"])
    widths = [2**e for e in exponents]
    slopes = {"eager": fit_slope(widths, first["eager"]).slope, "hybrid": fit_slope(widths, first["hybrid"]).slope}
    slopes["lazy"] = fit_slope(widths, steady["lazy"]).slope
    good = EAGER[0] < slopes["eager"] < EAGER[1] and LAZY[0] < slopes["lazy"] < LAZY[1] and slopes["hybrid"] > HYBRID
    ensure(good, "a slope lies outside its window", **slopes)
    rows = [
        (method, m, begin / (4 * m * 512), end / (4 * m * 512))
        for method in METHODS
        for m, begin, end in zip(widths, first[method], steady[method], strict=True)
    ]
    reason = (
        f"counts equal the formulas at every step; slopes in m: eager {slopes['eager']:.3f}, lazy in its last step "
        f"{slopes['lazy']:.3f}, hybrid {slopes['hybrid']:.3f}"
    )
    tables = {"operations / 4mnd": Table(("method", "m", "first step", "last step"), tuple(rows))}
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, slopes, tables=tables)


def small_data_regime(context: Context) -> Verdict:
    rows = []
    for power, sizes in (SMALL_FULL if context.full else SMALL).items():
        saved = {method: _saved(power, sizes, method, context) for method in ("eager", "lazy")}
        rows.append((power, saved["eager"], saved["lazy"]))
        if power <= 3:
            ensure(saved["eager"] <= SAVES_NOTHING, f"C={power}: eager trees save {saved['eager']:.3f}")
        if power >= 5:
            ensure(saved["eager"] > SAVES, f"C={power}: eager trees save {saved['eager']:.3f}")
        ensure(saved["lazy"] > LAZY_SAVES, f"C={power}: lazy trees save {saved['lazy']:.3f}")
    reason = "exponent saved against m n d: " + ", ".join(f"C={c}: eager {e:.3f}, lazy {z:.3f}" for c, e, z in rows)
    tables = {"exponents": Table(("C", "eager", "lazy"), tuple(rows))}
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, {}, tables=tables)


def _saved(power: int, sizes: Sequence[int], method: str, context: Context) -> float:
    """−slope of operations/(m n d) against m = n^power without the solve; the last step of lazy, the first of eager."""
    ratios, widths = [], []
    for n in sizes:
        m, total = n**power, 0
        for k in (0, 1):
            setting = Setting(n, 16, m, 0.24, 1000 * power + 10 * n + k)
            seen = observe(setting, method, context.device)
            ensure(seen.report, f"{method}, {setting}")
            record = seen.records[-1 if method == "lazy" else 0]
            total += record.operations["total"] - record.operations["solve"]
        widths.append(m)
        ratios.append(total / (2 * m * n * 16))
    return -fit_slope(widths, ratios).slope
