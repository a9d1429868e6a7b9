"""Sums in a fixed order, exp, log and distances: right, and the same whatever is beside them."""

from fractions import Fraction

import flint
import pytest
import torch

from constructions.fixed_order import affine, contract, exp, log, squared_distances, total


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("width", [*range(1, 20), 64, 100])
def test_a_total_takes_at_most_two_roundings_a_level(width):
    terms = normal(50, width)
    found = total(terms)
    exact = [float(sum(map(Fraction, row.tolist()))) for row in terms]
    slack = 2 * width.bit_length() * 2.0**-53 * terms.abs().sum(-1)
    assert bool(((found - torch.tensor(exact, dtype=torch.float64)).abs() <= slack).all())
    assert torch.equal(torch.cat([total(row) for row in terms.split(1)]), found)
    assert torch.equal(total(terms.T.contiguous().T), found)


def test_sums_of_nothing():
    assert total(torch.zeros(3, 0)).tolist() == [0, 0, 0]
    bias = normal(4)
    assert torch.equal(affine(torch.zeros(3, 0).double(), torch.zeros(4, 0).double(), bias), bias.expand(3, -1))
    assert squared_distances(torch.zeros(3, 0), torch.zeros(2, 0)).shape == (3, 2)


def test_affine_contract_and_distances():
    x, weight, bias = normal(31, 5), normal(7, 5, seed=1), normal(7, seed=2)
    torch.testing.assert_close(affine(x, weight, bias), torch.nn.functional.linear(x, weight, bias))
    torch.testing.assert_close(contract(x[:, None], weight), x @ weight.T)
    expected = (x[:, None] - weight).square().sum(-1)
    torch.testing.assert_close(squared_distances(x, weight), expected)
    torch.testing.assert_close(squared_distances(x, weight.expand(31, -1, -1)), expected)


def test_nan_and_infinity_are_not_lost():
    terms = torch.zeros(3, 5, dtype=torch.float64)
    terms[0, 3], terms[1, 4] = float("nan"), float("inf")
    assert total(terms)[0].isnan()
    assert total(terms)[1].isinf()
    assert exp(torch.tensor([float("nan")]))[0].isnan()


def test_exp_and_log_against_ball_arithmetic():
    for value in (-699.5, -20.25, -1.0, -1e-9, 0.0, 1e-3, 0.5, 3.0, 200.125):
        found = Fraction(float(exp(torch.tensor(value, dtype=torch.float64))))
        error = flint.arb(flint.fmpq(found.numerator, found.denominator)) / flint.arb(value).exp() - 1
        assert abs(error) < 1e-14
    for value in (1e-300, 0.1, 0.999, 1.0, 1.001, 1.4142135, 2.0, 10.0, 1e300):
        found = float(log(torch.tensor(value, dtype=torch.float64)))
        error = abs(flint.arb(found) - flint.arb(value).log())
        assert error < 1e-15 * max(1.0, abs(found))
    assert exp(torch.zeros(1)).item() == 1.0
    assert log(torch.ones(1)).item() == 0.0


def test_a_value_does_not_depend_on_its_place():
    x = normal(1003) * 9
    for f, values in ((exp, x), (log, x.abs() + 1e-9)):
        whole = f(values)
        for cut in (1, 3, 5, 500):
            assert torch.equal(torch.cat([f(values[:cut]), f(values[cut:].clone())]), whole)
        assert torch.equal(f(values[::3]), whole[::3])
