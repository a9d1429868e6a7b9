"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

from theory.trained_momlp.claims import EXPECTED

AHEAD = """
import momlp
from theory.trained_momlp.experiments import TASKS, compare
found = compare(TASKS["{task}"], seeds=2, options=momlp.Options(steps={steps}), rates=(1e-2,))
for method, errors in found.errors.items():
    print(method, found.total[method], "parameters, test errors", errors.tolist())
"""

EXAMPLES = {
    **{task: AHEAD.format(task=task, steps=50) for task in EXPECTED},
    "two_spirals_short": AHEAD.format(task="two_spirals", steps=100),
    "budgeted_training": """
import numpy as np, torch, momlp
x = np.random.default_rng(0).random((400, 2))
options = {"leaves": 8, "expert_hidden": (16,), "options": momlp.Options(steps=50)}
joint, grouped = (
    momlp.train_momlp(x, x[:, 0], budget_bytes=b, generator=torch.Generator().manual_seed(0), **options)
    for b in (None, 200_000)
)
print(np.array_equal(joint.predict(x), grouped.predict(x)), grouped.report.groups, "groups")
""",
}
