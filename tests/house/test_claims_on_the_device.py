"""Claims honour `context.device`: cheap ones say there what they say on the CPU, the others build there."""

import pytest
import torch

from constructions import MoMLP
from theory.checkers.uniform_error import sampled
from theory.claim import Context
from theory.momlp.reproductions import mixtures as momlp
from theory.pathway_tree import reproductions as pathway_tree
from theory.systems import REGISTRY
from theory.trained_momlp import reproductions as trained_momlp
from theory.vc_dimension.reproductions import shattered_sets


def verdicts(name, sim):
    """The claim's verdict on the CPU and on the device."""
    return [REGISTRY[name].verdict(Context(device=place)) for place in (torch.device("cpu"), sim)]


@pytest.fixture
def brief(monkeypatch):
    """Sizes that suit a test."""
    monkeypatch.setattr(sampled, "ASCENT_STEPS", 2)
    monkeypatch.setattr(momlp, "LISTED_EPS", {1: 0.05, 2: 0.2})
    monkeypatch.setattr(momlp, "LISTED_TARGETS", ("cone",))
    monkeypatch.setattr(pathway_tree, "TREES", [((30,), 2), ((5, 4, 3), 3)])
    monkeypatch.setattr(pathway_tree, "SHAPES", ("circle",))
    monkeypatch.setattr(
        pathway_tree,
        "_cloud",
        lambda name, n, context: pathway_tree.embedded(name, n, count=1000, generator=context.generator()),
    )
    protocol = trained_momlp.Protocol(2, 12, (1e-2,))
    monkeypatch.setattr(trained_momlp, "QUICK", dict.fromkeys(trained_momlp.TASKS, protocol))
    monkeypatch.setattr(shattered_sets, "ROWS", dict(list(shattered_sets.ROWS.items())[:1]))


@pytest.mark.parametrize(
    "name",
    [
        "momlp.uniform_error",
        "momlp.certificate_tightness",
        "pathway_tree.router_agreement",
        "pathway_tree.covering_net",
        "vc_dimension.routing_only",
    ],
)
def test_the_verdict_is_the_same(sim, brief, name):
    here, there = verdicts(name, sim)
    assert there == here
    assert there.status is REGISTRY[name].expected


@pytest.mark.parametrize("name", ["checkerboard"])
def test_brief_training_says_the_same(sim, brief, name):
    """Two seeds decide nothing, but the errors are the same to the last bit."""
    here, there = verdicts(f"trained_momlp.{name}", sim)
    assert there == here
    assert there.numbers["momlp_error"] > 0


class Seen(Exception):
    """The first model was made."""


BUILDS = [
    "bit_extraction.exact_realisation",
    "bit_extraction.uniform_error",
    "bit_extraction.adversarial_error",
    "momlp.uniform_error",
    "momlp.variants",
    "momlp.uniform_error_n10",
    "momlp.certificate_tightness",
    "momlp.sharpness",
]


@pytest.mark.parametrize("name", BUILDS)
def test_models_are_built_on_the_device(sim, monkeypatch, name):
    """Expensive claims: their first model must be there."""
    start = MoMLP.__init__

    def first(self, *arguments, **options):
        start(self, *arguments, **options)
        raise Seen(str(self.place))

    monkeypatch.setattr(MoMLP, "__init__", first)
    with pytest.raises(Seen, match="sim:0"):
        REGISTRY[name].verdict(Context(device=sim))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["trained_momlp.budgeted_training", "distributed_momlp.memory_budget", "vc_dimension.mixture"]
)
def test_longer_claims_hold_on_the_device(sim, name):
    assert REGISTRY[name].verdict(Context(device=sim)).status is REGISTRY[name].expected
