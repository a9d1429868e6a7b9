"""Routing claims fail on a floor router and on a shifted prototype."""

import theory.claims  # noqa: F401
from theory.claim import REGISTRY, Context, Status


def test_a_floor_router_is_refuted(monkeypatch):
    from constructions.lattice import Lattice

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
