"""`certify_uniform_error`: choose a way, check the premises that all ways share, and return the certificate."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from constructions.errors import (
    require_bool,
    require_choice,
    require_device,
    require_instance,
    require_int,
    require_positive,
    require_seed,
)
from constructions.functions.box import MOST_POINTS
from constructions.functions.lipschitz_function import LipschitzFunction, ModulusPremise
from constructions.mixture import LatticeMixture
from theory import exact
from theory.checkers.uniform_error.a_priori import a_priori
from theory.checkers.uniform_error.branch_and_bound import Goal, Search, branch_and_bound
from theory.checkers.uniform_error.certificate import Premise, UniformErrorCertificate
from theory.checkers.uniform_error.premises import cells_cover, forward_is_expert
from theory.checkers.uniform_error.sampled import sampled_error
from theory.checkers.uniform_error.share import WHOLE, Share
from theory.checkers.uniform_error.simplex_error import simplex_error
from theory.checkers.uniform_error.stack import floats_of, precision
from theory.checkers.uniform_error.table import table_difference
from theory.checkers.uniform_error.target_values import evaluation_error
from theory.checkers.uniform_error.view import MixtureView, NotFinite, view_of
from theory.claim import Evidence, Status, Verdict

DEFAULT_GAP = 1e-2
MAX_LEAVES = 2_000_000
SAMPLED_LEAVES = 1024
FORWARD_POINTS = 32
ABOUT_POINTS = 64


def certify_uniform_error(
    model: nn.Module,
    f: LipschitzFunction,
    *,
    eps: float | None = None,
    gap: float | None = None,
    abs_tol: float = 0.0,
    max_evaluations: int = 100_000_000,
    method: str | None = None,
    enclosed: bool = False,
    samples: int = 100_000,
    seed: int = 0,
    device: torch.device | str | None = None,
    log: Callable[[str], None] = lambda message: None,
    share: Share = WHOLE,
) -> UniformErrorCertificate:
    """An interval for sup |f − f̂| over f's domain and outputs, in the units of f.

    `model`: a MoMLP, a module with `route`, `expert`, `cell_bounds` and `num_leaves`, or one Linear/ReLU/PReLU stack.
    `method`: "branch_and_bound" stops when every bound is ≤ eps, or upper/lower ≤ 1 + gap (both when both are given;
    gap = 1e-2 when neither is), when upper ≤ abs_tol, or after max_evaluations (INCONCLUSIVE, with the interval);
    "a_priori" checks the hypotheses of Theorem 1 on the model; "simplices" proves a deep network affine on every
    simplex of a grid that it reads off the weights (the default for bit extraction); "sampled" only refutes.
    `enclosed` evaluates a symbolic f in Arb balls (slow). Models with more than 2,000,000 leaves are sampled.
    A model that interpolates a table (`MoMLP.tabulate`) is certified as its network; what the two differ by is added to
    the slack.
    `share` restricts the interval to a part of the leaves; `theory.together.certify_together` puts parts together.
    Raises ValueError/TypeError naming the argument.
    """
    started = time.perf_counter()
    if method is None:
        deep = isinstance(model, LatticeMixture) and model.steep
        method = "simplices" if deep else "branch_and_bound"
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` must be a torch.nn.Module, got {type(model).__name__}")
    question = Question(f, eps, gap, abs_tol, max_evaluations, method, enclosed, samples, seed, log)
    question.require()
    _require_model(model, question)
    require_instance("share", share, Share)
    if device is not None:
        model = model.to(require_device("device", device))
    view = _view(model, question, share)
    found, premises, known = _findings(view, question)
    sampled = method == "sampled" or not view.complete or not (known or enclosed)
    certificate = UniformErrorCertificate(
        method=method,
        lower=found.lower,
        upper=found.upper if all(p.holds for p in premises) else math.inf,
        witness=found.witness,
        evidence=Evidence.SAMPLED if sampled else found.evidence,
        premises=tuple(premises),
        slack=found.slack,
        evaluations=found.evaluations,
        eps=None if eps is None else float(eps),
        leaves=view.total,
        leaves_checked=len(view.leaves),
        seconds=time.perf_counter() - started,
        device=str(view.leaves.device),
        part=(share.rank, share.world),
        about=_about(model, f) if share.world > 1 else "",
    )
    return certificate.about_this(model, f)


@dataclass(frozen=True)
class Question:
    """The arguments of `certify_uniform_error` that say what is asked, and how."""

    f: LipschitzFunction
    eps: float | None
    gap: float | None
    abs_tol: float
    max_evaluations: int
    method: str
    enclosed: bool
    samples: int
    seed: int
    log: Callable[[str], None]

    def require(self) -> None:
        """TypeError or ValueError naming the argument that is none."""
        if not isinstance(self.f, LipschitzFunction):
            raise TypeError(f"`f` must be a LipschitzFunction, got {type(self.f).__name__}")
        for name, value in (("eps", self.eps), ("gap", self.gap)):
            if value is not None:
                require_positive(name, value)
        require_positive("abs_tol", self.abs_tol, allow_zero=True)
        require_int("max_evaluations", self.max_evaluations, 1)
        require_choice("method", self.method, METHODS)
        require_bool("enclosed", self.enclosed)
        if self.enclosed and (self.f.tape is None or self.method != "branch_and_bound"):
            raise ValueError(
                "`enclosed` needs a target that is evaluated as its formula (LipschitzFunction.from_sympy) and "
                "method='branch_and_bound'"
            )
        require_int("samples", self.samples, 1, MOST_POINTS)
        require_seed("seed", self.seed)

    @property
    def goal(self) -> Goal:
        eps, gap = (None if value is None else float(value) for value in (self.eps, self.gap))
        free = gap is None and eps is None and not self.abs_tol
        return Goal(eps, DEFAULT_GAP if free else gap, float(self.abs_tol))


def _view(model: nn.Module, question: Question, share: Share) -> MixtureView:
    """The leaves to look at: all, or a sample of too many."""
    one = question.method == "sampled"
    limit = SAMPLED_LEAVES if one else MAX_LEAVES
    if isinstance(model, LatticeMixture) and model.num_leaves > MAX_LEAVES:
        if question.method == "branch_and_bound":
            raise ValueError(
                f"`method` 'branch_and_bound' visits every leaf and `model` has {model.num_leaves}; use 'a_priori' or "
                "'sampled'"
            )
        limit = SAMPLED_LEAVES
    f = question.f
    return view_of(model, f.domain, f.m, max_leaves=limit, seed=question.seed, share=share, one_function=one)


def _findings(view: MixtureView, question: Question) -> tuple[Findings, list[Premise], bool]:
    """What the way asked for found, all premises, and whether f's own rounding is known."""
    f, generator = question.f, torch.Generator().manual_seed(question.seed)
    eta, own_values, known = evaluation_error(f, generator)
    premises = [_modulus_premise(f), own_values]
    found = Findings(eta)
    try:
        if question.method != "sampled":
            table = table_difference(view)
            view, found.slack = replace(view, table_slack=table.slack), eta + table.slack
            premises += table.premises
        premises += _shared_premises(view, f, generator, question.method)
        premises += _decide(found, view, question, generator, all(p.holds for p in premises))
    except NotFinite as fault:
        found.lower, found.witness = math.inf, tuple(fault.x)
        premises.append(Premise("finite outputs", False, str(fault)))
    premises += _sane(found, question.eps, view.share)
    return found, premises, known


def _decide(
    found: Findings, view: MixtureView, question: Question, generator: torch.Generator, sound: bool
) -> list[Premise]:
    """Fill `found` by the way asked for; where a premise fails already (not `sound`) only a sample is taken."""
    if not sound or question.method != "branch_and_bound":  # which has seeds of its own
        if view.share.world > 1:
            generator.manual_seed((question.seed + view.share.rank) % 2**63)
        samples = math.ceil(question.samples / view.share.world)
        _sample(found, view, question.f, generator, samples, question.log)
    return WAYS[question.method](found, view, question) if sound else []


def _about(model: nn.Module, f: LipschitzFunction) -> str:
    """A digest of what is asked about: every number that the model holds, what f is, and answers of both.

    Of a lazy model, which holds no experts, and of a black box there are only the answers at 64 points.
    """
    modulus = (f.modulus.kind, f.modulus.lam, f.modulus.alpha, f.modulus.reach)
    digest = hashlib.sha256(repr((f.domain, f.m, modulus, f.tape, type(model).__name__)).encode())
    x = f.domain.sample(ABOUT_POINTS, torch.Generator().manual_seed(0))
    place = next((p.device for p in model.parameters()), x.device)
    with torch.no_grad():
        answers = (f.evaluate(x.to(place)), model(x.to(place)))
    for values in (*answers, *floats_of(model)):
        numbers = values.detach().double().cpu().contiguous()
        digest.update(repr(tuple(numbers.shape)).encode())
        digest.update(numbers.numpy().tobytes())
    return digest.hexdigest()


def _sane(found: Findings, eps: float | None, share: Share) -> list[Premise]:
    """Failing premises where the interval cannot stand, whatever way it was found; NaN fails each comparison."""
    failing = []
    if eps is not None and not found.slack < eps / 2:
        detail = f"the slack {found.slack:.3g} is not below eps/2 = {eps / 2:.3g}; use float64 or a larger eps"
        failing.append(Premise("rounding", False, detail))
    # a part may have seeds and no box of its own: its ends are compared when the parts are put together
    if share.world == 1 and not found.lower <= found.upper:
        detail = f"|f − f̂| ≥ {found.lower:.9g} at x = {found.witness}, above the upper end {found.upper:.9g}"
        failing.append(Premise("the ends agree", False, detail))
    return failing


@dataclass
class Findings:
    """What one way found; `slack` starts as η."""

    slack: float
    lower: float = 0.0
    upper: float = math.inf
    witness: tuple[float, ...] | None = None
    evaluations: int = 0
    evidence: Evidence = Evidence.FLOAT64


def _search(found: Findings, view: MixtureView, question: Question) -> list[Premise]:
    """Both ends by branch and bound."""
    f = question.f
    search = Search(f, question.goal, found.slack, question.max_evaluations, question.enclosed, question.log)
    branch_and_bound(view, search)
    found.lower, found.upper, found.witness = search.lower, search.upper, search.witness
    found.slack, found.evaluations = search.slack, search.evaluations
    if search.exhausted:
        search.log("max_evaluations reached before the bounds met the goal")
    if search.enclosed and f.premise is ModulusPremise.CERTIFIED:
        found.evidence = Evidence.ENCLOSED
    return [] if search.mismatch is None else [search.mismatch]


def _sample(
    found: Findings,
    view: MixtureView,
    f: LipschitzFunction,
    generator: torch.Generator,
    samples: int,
    log: Callable[[str], None],
) -> None:
    error, found.witness, found.evaluations = sampled_error(view, f, generator, samples, log)
    found.lower = max(0.0, error - found.slack)  # `error` is a number: the view refuses others


def _read_theorem(found: Findings, view: MixtureView, question: Question) -> list[Premise]:
    """Theorem 1's upper end and its premises; an error above it refutes the modulus."""
    f = question.f
    found.upper, measured, premises = a_priori(view, f, found.slack, question.log)
    _widen(found, measured.slack, measured.nodes)
    if found.lower > found.upper:
        detail = (
            f"ω(t) = {f.modulus} is refuted: |f − f̂| ≥ {found.lower:.9g} at x = {found.witness}, "
            f"Theorem 1 allows {found.upper:.9g}"
        )
        premises.append(Premise("modulus", False, detail))
    return premises


def _prove_affine(found: Findings, view: MixtureView, question: Question) -> list[Premise]:
    """The upper end of a deep network that is affine on every simplex of a grid."""
    found.upper, measured, premises = simplex_error(view, question.f, found.slack, question.log)
    _widen(found, measured.slack, measured.nodes)
    return premises


def _widen(found: Findings, slack: float, evaluations: int) -> None:
    found.slack += slack
    found.evaluations += evaluations
    found.lower = max(0.0, found.lower - slack)


def _only_sample(found: Findings, view: MixtureView, question: Question) -> list[Premise]:
    """What was sampled already is all: no upper end."""
    return []


WAYS: dict[str, Callable[[Findings, MixtureView, Question], list[Premise]]] = {
    "branch_and_bound": _search,
    "a_priori": _read_theorem,
    "simplices": _prove_affine,
    "sampled": _only_sample,
}
METHODS = tuple(WAYS)


def uniform_error_le_eps(model: nn.Module, f: LipschitzFunction, eps: float, **options) -> Verdict:
    """The verdict of `certify_uniform_error(model, f, eps=eps, …)` on sup |f − f̂| ≤ eps."""
    c = certify_uniform_error(model, f, eps=float(require_positive("eps", eps)), **options)
    return Verdict(
        c.status,
        c.evidence,
        c.reason,
        numbers={"evaluations": c.evaluations, "slack": c.slack, "leaves_checked": c.leaves_checked},
        bounds={"eps": float(eps), "lower": c.lower, "upper": c.upper},
        witness=None if c.status is not Status.REFUTED else f"|f - model| >= {c.lower!r} at x = {c.witness}",
        seconds=c.seconds,
        device=c.device,
    )


def _require_model(model: nn.Module, question: Question) -> None:
    """TypeError or ValueError for a model that is none, lives elsewhere than f, or may run more than it shows."""
    f = question.f
    if isinstance(model, LatticeMixture) and (model.n, model.m, model.domain) != (f.n, f.m, f.domain):
        raise ValueError(
            f"`f` must live where the model does (n = {model.n}, m = {model.m}, domain {model.domain}), "
            f"got n = {f.n}, m = {f.m}, domain {f.domain}"
        )
    precision(model)
    why = None if question.method == "sampled" else exact.altered(model)
    if why is not None:
        raise ValueError(f"`model`: {why}, so its call runs more than its class; use method='sampled'")


def _modulus_premise(f: LipschitzFunction) -> Premise:
    return Premise("modulus", True, f"ω(t) = {f.modulus}, {f.grounds}")


def _shared_premises(view: MixtureView, f: LipschitzFunction, generator: torch.Generator, method: str) -> list[Premise]:
    place = view.every.device
    x = f.domain.sample(FORWARD_POINTS, generator).to(place)
    try:
        with torch.no_grad():
            view.forward(x)
    except RuntimeError as err:
        raise ValueError(f"`model` must map (B, {f.n}) to (B, {f.m}), it failed on {tuple(x.shape)}: {err}") from err
    if method == "sampled":
        return []
    # exact evaluation costs K·n rational products a point
    size = max(1, sum(p.numel() for p in view.expert(view.every[0]).parameters()))
    points = max(4, min(FORWARD_POINTS, 400_000 // size))
    premises = [cells_cover(view)]
    # weights of 2⁵⁰ leave norms without meaning: "simplices" compares forward() with its own pieces
    return premises if method == "simplices" else [*premises, forward_is_expert(view, x[:points])]
