"""Trained MoMLPs: "superior performance compared to larger centralised benchmarks", one verdict a task."""

from __future__ import annotations

from constructions.trained_momlp.training import Options
from theory.claim import Claim, Context, Evidence, Number, Status, Verdict, register, undecided
from theory.experiments import TASKS, compare

V1 = "arXiv:2402.03460v1, abstract"
SEEDS = 10
QUICK = Options(steps=600, batch_size=128, evaluate_every=30, patience=10)
FULL = Options(steps=3000, batch_size=128, evaluate_every=30, patience=20)

# what these splits, seeds and sizes say; the sentence is false as a general rule
EXPECTED = {
    "weierstrass": Status.NOT_REFUTED,
    "checkerboard": Status.NOT_REFUTED,
    "sum_of_sines": Status.REFUTED,
    "max_affine": Status.REFUTED,
}


def performance(name: str, context: Context) -> Verdict:
    """Paired test errors of the mixture and of a central MLP with more parameters, on shared splits."""
    rates = (3e-3, 1e-2) if context.full else (1e-2,)
    options = FULL if context.full else QUICK
    found = compare(TASKS[name], seeds=SEEDS, options=options, rates=rates, log=context.log, device=context.device)
    numbers: dict[str, Number] = {"seeds": SEEDS, "steps": options.steps}
    for method, errors in found.errors.items():
        numbers[f"{method}_error"] = float(errors.mean())
        numbers[f"{method}_parameters"] = found.total[method]
        numbers[f"{method}_active_parameters"] = found.active[method]
    for peer in ("central", "active"):
        mean, low, high = found.difference(peer)
        numbers |= {f"minus_{peer}": mean, f"minus_{peer}_lower": low, f"minus_{peer}_upper": high}
    if found.total["central"] < found.total["momlp"]:
        return undecided("the central MLP is not larger", **numbers)
    mean, low, high = found.difference("central")
    reason = f"error − central error = {mean:.4f}, 95 % interval [{low:.4f}, {high:.4f}], {SEEDS} paired seeds"
    if high < 0:
        return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers)
    if low > 0:
        witness = f"theory.experiments.compare(TASKS[{name!r}], seeds={SEEDS}, ...): {reason}"
        return Verdict(Status.REFUTED, Evidence.SAMPLED, reason, numbers, witness=witness)
    return undecided(reason, **numbers)


for _name, _status in EXPECTED.items():
    register(
        Claim(
            id=f"trained_momlp.{_name}",
            title=f"On {_name.replace('_', ' ')}, a trained MoMLP beats a larger centralised MLP",
            statement=r"\mathbb E[\mathrm{err}(\mathrm{MoMLP})]<\mathbb E[\mathrm{err}(\mathrm{MLP})]",
            source=V1,
            expected=_status,
            hypotheses=("paired 95 % Student interval", "same splits, steps, batches and early stopping"),
            reproduce=lambda context, name=_name: performance(name, context),
        )
    )
