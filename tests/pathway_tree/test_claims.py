"""Routing claims fail on a floor router and on a shifted prototype."""

from theory.claim import Context, Status
from theory.systems import REGISTRY


def test_a_floor_router_is_refuted(monkeypatch):
    from constructions.pathway_tree.lattice import Lattice

    monkeypatch.setattr(Lattice, "index", lambda self, z: z.floor().long().clamp(max=min(self.cells) - 1))
    verdict = REGISTRY["pathway_tree.router_agreement"].verdict(Context())
    assert verdict.status is Status.REFUTED
    assert "index rule says" in verdict.witness


def test_a_shifted_prototype_is_not_proved(monkeypatch):
    from constructions import PathwayTree

    honest = PathwayTree.child_prototypes

    def shifted(self, node):
        first, *rest = honest(self, node)
        return [tuple(v + (a == 0) for a, v in enumerate(first)), *rest]

    monkeypatch.setattr(PathwayTree, "child_prototypes", shifted)
    verdict = REGISTRY["pathway_tree.nearest_prototype"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "node" in verdict.reason


def test_a_net_with_holes_does_not_pass_for_a_net(monkeypatch):
    from constructions.pathway_tree import nets
    from constructions.pathway_tree import tree as pathway_tree

    honest = nets.farthest_point

    def short(points, *, delta=0.0, leaves=None):
        net = honest(points, delta=delta, leaves=leaves)
        return nets.Net(net.chosen[:-1], net.radii[:-1])

    monkeypatch.setattr(pathway_tree, "farthest_point", short)
    verdict = REGISTRY["pathway_tree.covering_net"].verdict(Context())
    assert verdict.status is Status.REFUTED
    assert "no prototype within" in verdict.witness


def test_a_slope_of_the_ambient_dimension_is_not_accepted(monkeypatch):
    """A solid cube in R^3 called a surface: its slope is 3."""
    import torch

    import theory.pathway_tree.reproductions as claims
    from theory.pathway_tree.manifolds import Cloud

    def cube(name, n, *, count, generator):
        points = torch.rand(20_000, 3, generator=generator, dtype=torch.float64) * 3
        return Cloud(name, points, 2, 0.0, lambda d: 0.0, lambda d: 1e9)

    monkeypatch.setattr(claims, "embedded", cube)
    verdict = REGISTRY["pathway_tree.intrinsic_dimension"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "slope" in verdict.reason
