"""Training on an accelerator: a fixed number of places, no waiting a level, and the same integers as on the CPU."""

import pytest
import torch

from constructions.sublinear_training import GaussNewtonTrainer, ShiftedReLUNetwork, random_signs, unit_sphere
from constructions.sublinear_training.methods import METHODS
from tests.house.pretend_accelerator import counting

MOST_WAITS = 40  # of a step, whatever the width


def trainer_on(place, method, m=700, capacity=None):
    g = torch.Generator().manual_seed(1)
    x, y = unit_sphere(9, 5, generator=g), random_signs(9, generator=g)
    net = ShiftedReLUNetwork.from_seed(5, m, 4, device=place)
    trainer = GaussNewtonTrainer(net, x.to(place), y.to(place), method=method)
    if capacity is not None:
        trainer._finder.capacity = capacity
    return trainer


@pytest.mark.parametrize("method", METHODS)
def test_the_same_integers_and_the_same_weights(device, method):
    here, there = trainer_on("cpu", method), trainer_on(device, method)
    first, second = here.fit(5, 1e-12), there.fit(5, 1e-12)
    assert [s.measured for s in first.steps] == [s.measured for s in second.steps]
    assert [s.operations for s in first.steps] == [s.operations for s in second.steps]
    assert float((here.net.weight - there.net.weight.cpu()).abs().max()) <= 1e-12
    assert there.net.weight.device.type == device.type


@pytest.mark.parametrize("method", METHODS)
def test_too_few_places_are_noticed(device, method):
    few, enough = trainer_on(device, method, capacity=16), trainer_on(device, method)
    first, second = few.fit(4, 0), enough.fit(4, 0)
    assert few._finder.capacity > 16
    assert [s.measured for s in first.steps] == [s.measured for s in second.steps]


@pytest.mark.parametrize("method", METHODS)
def test_the_host_waits_as_often_for_any_width(sim, method):
    waits = []
    for m in (512, 4096):
        trainer = trainer_on(sim, method, m=m)
        trainer.step()
        with counting() as met:
            trainer.step()
        waits.append(met.kinds.total())
    assert waits[0] == waits[1] <= MOST_WAITS


def test_data_on_another_device_is_refused(sim):
    net = ShiftedReLUNetwork.from_seed(5, 100, 4, device=sim)
    with pytest.raises(ValueError, match="`X` must be on the network's device"):
        GaussNewtonTrainer(net, torch.eye(5).double(), torch.ones(5).double())
