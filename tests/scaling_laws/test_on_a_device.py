"""Stacks train on a device to the bits of the CPU; learners and laws answer there."""

import torch

from constructions.scaling_laws.nyquist import NyquistLearner, trigonometric_basis
from constructions.scaling_laws.pruning import pruned_teacher_students, teacher_classes
from constructions.scaling_laws.pruning_law import PruningLaw
from constructions.scaling_laws.students import ReLUTarget, train_students
from constructions.scaling_laws.training import Schedule

PLAN = Schedule(20, batch=16, watch=10, decay=1e-3)


def test_students(device):
    def grid(**options):
        return train_students(
            ReLUTarget((5, 16, 1), 0),
            (3, 8),
            (50, 100),
            (0, 1),
            inputs=5,
            schedule=PLAN,
            validation=50,
            test=80,
            **options,
        )

    here, there = grid(), grid(device=device)
    assert there.stacks[0].rows.device.type == torch.device(device).type
    assert torch.equal(here.errors, there.errors)
    assert all(torch.equal(a.rows, b.rows.cpu()) for a, b in zip(here.stacks, there.stacks, strict=True))


def test_pruning(device):
    def curve(**options):
        data = teacher_classes((0, 1), 200, test=150, widths=(4, 12, 5), **options)
        return pruned_teacher_students(data, (4, 9), 2, (0, 1), Schedule(15, batch=16), keep=0.5, rounds=3, rewind=5)

    here, there = curve(), curve(device=device)
    assert torch.equal(here.errors, there.errors)
    assert torch.equal(here.densities, there.densities)


def test_learners(device):
    x = torch.rand(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    axis = torch.arange(6, dtype=torch.float64) / 6
    for nodes in (x, torch.cartesian_prod(axis, axis)):
        y = trigonometric_basis(nodes, 2) @ torch.ones(25, dtype=torch.float64)
        here = NyquistLearner(2, 2).fit(nodes, y)
        there = NyquistLearner(2, 2).fit(nodes.to(device), y.to(device))
        answer = there.predict(x.to(device))
        assert answer.device.type == torch.device(device).type
        assert torch.allclose(answer.cpu(), here.predict(x), atol=1e-8)


def test_the_law(device):
    law, d = PruningLaw(0.9, 0.7, 2.5, 0.7, 1.1), torch.logspace(-3, 0, 7, dtype=torch.float64)
    there = law(d.to(device), 2, 16, 0.1)
    assert there.device.type == torch.device(device).type
    assert torch.allclose(there.cpu(), law(d, 2, 16, 0.1))
