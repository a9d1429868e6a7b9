"""Attacks on targets: whose modulus is it, and what may be said about it."""

import copy
import inspect
import pickle

import pytest
import torch

from constructions import (
    Box,
    LipschitzFunction,
    Modulus,
    ModulusPremise,
    ModulusViolation,
    build_momlp,
    load,
    plan,
    save,
    targets,
)
from theory.checkers.uniform_error import certify_uniform_error
from theory.claim import Status


def steep(x):
    return 40 * x[:, :1]


def needle(x):
    """x0, but for a needle of height 1 and width 1e-4 that no sample of 256 points meets."""
    return x + (1 - (x - 0.123456).abs() / 5e-5).clamp(min=0)


ATTRIBUTES = ("n", "m", "domain", "modulus", "name", "expression", "tape", "premise", "lipschitz_bounds", "grounds")


@pytest.mark.parametrize("name", [*ATTRIBUTES, "_fn", "_premise", "evaluate", "lipschitz", "new"])
def test_nothing_can_be_set_from_outside(name):
    f = LipschitzFunction(steep, n=1, lipschitz=1.0)
    value = "certified" if name == "premise" else 1.0
    with pytest.raises(AttributeError, match=f"`{name}` cannot be set"):
        setattr(f, name, value)
    with pytest.raises(AttributeError, match="cannot be deleted"):
        delattr(f, name)
    assert f.premise is ModulusPremise.DECLARED
    with pytest.raises(ModulusViolation):
        build_momlp(f, eps=0.1)


def test_a_subclass_cannot_raise_its_grade():
    """pyright knows the class as final; what is not final by then is caught where it matters."""
    f = LipschitzFunction(steep, n=1, lipschitz=1.0)
    f.__dict__["premise"] = "certified"
    assert f.premise is ModulusPremise.DECLARED
    with pytest.raises(TypeError, match="final"):
        type("Liar", (LipschitzFunction,), {"premise": ModulusPremise.CERTIFIED})


def test_no_public_method_takes_a_premise():
    """It was once an argument: a modulus of 0.01 for sin(1000 x)/10 called itself certified."""
    takes = [
        n
        for n, m in inspect.getmembers(LipschitzFunction, callable)
        if not n.startswith("_") and "premise" in str(inspect.signature(m))
    ]
    assert takes == []


@pytest.mark.parametrize("premise", [ModulusPremise.CERTIFIED, "certified", "derived", None])
def test_a_modulus_that_is_given_is_never_certified(premise):
    f, small = targets.get("cone", n=1), Modulus.lipschitz(0.01)
    for make in (
        lambda: LipschitzFunction._of_formula("sin(1000*x0)/10", 1, None, None, small, None, premise),
        lambda: LipschitzFunction._of_modulus(steep, 1, f.domain, small, "steep", premise),
    ):
        with pytest.raises(ValueError, match="`premise` must be declared or derived"):
            make()


def test_the_words_stay_the_old_words():
    f = targets.get("cone", n=2)
    assert f"{f.premise}" == str(f.premise) == f.premise == "certified"
    assert f.premise is ModulusPremise.CERTIFIED
    assert repr(f).endswith("[certified])")
    assert targets.get("weierstrass", n=1).premise is ModulusPremise.DERIVED


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies_and_pickles_keep_everything(again):
    f = targets.get("cone", n=2)
    g = again(f)
    x = f.domain.sample(50, torch.Generator().manual_seed(0))
    assert torch.equal(f(x), g(x))
    assert all(getattr(f, name) == getattr(g, name) for name in ATTRIBUTES)
    with pytest.raises(AttributeError, match="`modulus` cannot be set"):
        g.modulus = Modulus.lipschitz(0.0)
    black = again(LipschitzFunction(steep, n=1, lipschitz=1.0))
    assert black.premise is ModulusPremise.DECLARED


def test_a_needle_beside_its_formula_is_declared_and_never_certified_as_a_formula():
    f = LipschitzFunction(needle, n=1, lipschitz=1.0, expression="x0")
    assert f.premise is ModulusPremise.DECLARED
    assert f.tape is None
    model = build_momlp(f, eps=0.05)
    c = certify_uniform_error(model, f, eps=0.05)
    premise = next(p for p in c.premises if p.name == "modulus")
    assert premise.detail.endswith("declared; the formula agrees with fn at 256 points")
    assert "of the black box" in next(p for p in c.premises if p.name == "f's own values").detail
    with pytest.raises(ValueError, match="`enclosed` needs a target that is evaluated as its formula"):
        certify_uniform_error(model, f, eps=0.05, enclosed=True)


def test_building_checks_a_function_beside_its_formula():
    wide = LipschitzFunction(lambda x: x + 0 * x, n=1, lipschitz=1.0, expression="x0")
    build_momlp(wide, eps=0.1)
    switched = []

    def later(x):
        """The formula while it is compared, another function ever after."""
        switched.append(len(x))
        return x if len(switched) == 1 else 5 * x

    f = LipschitzFunction(later, n=1, lipschitz=1.0, expression="x0")
    with pytest.raises(ModulusViolation):
        build_momlp(f, eps=0.1)


def test_a_formula_with_a_declared_modulus_is_checked():
    f = LipschitzFunction.from_sympy("sin(40*x0)", n=1, modulus=Modulus.lipschitz(1.0))
    assert f.premise is ModulusPremise.DECLARED
    assert f.grounds == "declared"
    with pytest.raises(ModulusViolation):
        build_momlp(f, eps=0.05)
    g = LipschitzFunction.from_sympy("sin(40*x0)", n=1, modulus=lambda t: t)
    assert g.premise is ModulusPremise.DECLARED
    with pytest.raises(ModulusViolation):
        build_momlp(g, eps=0.05)


def test_a_stored_model_has_its_formula_as_target(tmp_path):
    f = LipschitzFunction(needle, n=1, lipschitz=1.0, expression="x0")
    again = load(save(build_momlp(f, eps=0.05), tmp_path / "m.safetensors"))
    assert again.target is not None
    assert again.target.premise is ModulusPremise.CERTIFIED
    x = torch.full((1, 1), 0.123456, dtype=torch.float64)
    assert float(again.target(x)) == 0.123456
    assert float(f(x)) == pytest.approx(1.123456)


def test_the_sharp_target_of_a_callable_modulus_is_only_declared():
    f = LipschitzFunction(lambda x: x, n=1, modulus=lambda t: t.sqrt())
    assert targets.sharp(plan(f, 0.2)).premise is ModulusPremise.DECLARED
    assert targets.sharp(plan(targets.get("cone", n=1), 0.2)).premise is ModulusPremise.DERIVED


@pytest.mark.parametrize(
    ("fn", "what"),
    [
        (lambda x: x - x.mean(0), "depends on the batch"),
        (lambda x: x + 0.01 * torch.rand_like(x), "depends on the call"),
        (lambda x: x.cumsum(0).clamp(0, 1), "depends on the rows before"),
    ],
)
def test_what_answers_differently_when_asked_again_is_not_certified(fn, what):
    model = build_momlp(LipschitzFunction(lambda x: x, n=1, lipschitz=1.0), eps=0.2)
    c = certify_uniform_error(model, LipschitzFunction(fn, n=1, lipschitz=1.0), eps=0.9, gap=None)
    assert c.status is Status.INCONCLUSIVE, what
    assert any("answers differently" in p.detail for p in c.failed)


def _overwrites(x):
    x.mul_(2)
    return x / 2


@pytest.mark.parametrize(
    "fn",
    [
        _overwrites,
        lambda x: x[:, :1],  # a view of its argument
        lambda x: torch.from_numpy(x.numpy() * 1.0),
        torch.nn.Linear(1, 1, dtype=torch.float64),  # answers with a gradient
    ],
)
def test_odd_functions_build_and_certify_a_priori(fn):
    f = LipschitzFunction(fn, n=1, lipschitz=2.0)
    x = torch.rand(8, 1, dtype=torch.float64)
    kept = x.clone()
    f(x)
    assert torch.equal(x, kept)
    model = build_momlp(f, eps=0.2)
    assert not any(p.requires_grad for p in model.parameters())
    assert model.out_weight is not None
    assert model.out_weight.grad_fn is None


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: torch.empty(len(x), 1, dtype=torch.float64, device="meta"), "on its input's cpu, got"),
        (lambda x: x.to_sparse(), "dense tensor"),
        (lambda x: x.long(), "dtype"),
        (lambda x: x.to(torch.complex128), "dtype"),
        (lambda x: x.half(), "dtype"),
        (lambda x: x > 0, "dtype"),
        (lambda x: None, "must return shape"),
        (lambda x: x.numpy(), "must return shape"),
        (lambda x: x / x.new_zeros(1), "must be finite"),
    ],
)
def test_odd_answers_are_named(fn, message):
    f = LipschitzFunction(fn, n=1, lipschitz=1.0)
    with pytest.raises(ValueError, match="`fn`") as caught:
        build_momlp(f, eps=0.2)
    assert message in str(caught.value)


@pytest.mark.parametrize("domain", [(0, 1e-320), (-1e308, 1e308), (0, 1e200), (1.0, 1.0 + 1e-300)])
def test_domains_that_float64_cannot_work_with(domain):
    with pytest.raises(ValueError, match="`domain` axis 0"):
        Box.of(domain, 2)


ODD_DOMAINS = ["ab", 3, object(), {"a": 1}, [0, 1, 2], [(0, 1), None], (None, 1), (True, 2), [[0], [1]]]


@pytest.mark.parametrize("domain", ODD_DOMAINS)
def test_domains_of_the_wrong_kind(domain):
    with pytest.raises((TypeError, ValueError), match="`domain`"):
        Box.of(domain, 2)


def test_a_modulus_is_valid_however_it_is_made():
    for arguments in ({"kind": "best"}, {"kind": "lipschitz", "lam": -1.0}, {"kind": "lipschitz", "lam": float("nan")}):
        with pytest.raises(ValueError, match=r"`(kind|lam)`"):
            Modulus(**arguments)
    for arguments in ({"kind": "callable"}, {"kind": "lipschitz", "alpha": 0.5}, {"kind": "holder", "fn": steep}):
        with pytest.raises(ValueError, match="`kind`"):
            Modulus(**arguments)
    with pytest.raises(ValueError, match="`alpha` must be at least"):
        Modulus.holder(1.0, 2.0**-1000)  # its inverse has the exponent 2^1001
    with pytest.raises(ValueError, match="`kind`"):
        Modulus.from_spec({"kind": "best", "reach": 1.0})


def test_a_fraction_is_rounded_up_to_a_float():
    from fractions import Fraction

    assert Fraction(Modulus.lipschitz(Fraction(1, 3)).lam) > Fraction(1, 3)
    assert Fraction(Modulus.lipschitz(2**53 + 1).lam) > 2**53


def test_a_name_that_cannot_be_printed_is_no_name():
    class Odd:
        def __format__(self, spec):
            raise RuntimeError("it cannot be printed")

    with pytest.raises(TypeError, match="`name` must be a str, got Odd"):
        Box.of(None, 1).require_inside(Odd(), torch.tensor([[2.0]]))  # pyright: ignore[reportArgumentType]
