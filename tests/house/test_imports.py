"""Imports run one way: the table of docs/house.md, and no circle, also not inside functions or under TYPE_CHECKING."""

import ast
from pathlib import Path

import networkx as nx
import pytest

from theory.systems import NAMES, system

ROOT = Path(__file__).parents[2]
DOORS = {
    "constructions": ["__init__", "build", "export", "store", "targets"],
    "theory": ["__init__", "__main__", "cli", "doctor", "report", "systems", "verification", "workers"],
    "momlp": ["__init__", "__main__"],
}
"""The files above all systems: the only ones that know every kind."""

COMMANDS = ("theory.__main__", "momlp.__main__")
"""What `python -m` runs."""

THROUGH_A_DOOR = {("distributed_momlp", "store")}
"""Ranks load stored models of every kind."""


def imported(path):
    """Modules that a file imports anywhere in it; of `from a import b` both a.b and a are candidates."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(root=ROOT):
    """Dotted name -> file of the packages."""
    found = {}
    for package in DOORS:
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def resolved(name, known):
    """The module of ours that an imported name is, or lies in; None for others."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def arrows(known):
    """(importing module, imported module) of ours; a package's door that hands names on counts as the door."""
    for name, path in known.items():
        for other in imported(path):
            target = resolved(other, known)
            if target is not None and target != name:
                yield name, target


def room(module):
    """("constructions", "momlp") and the like: the system or shared room that a module lies in."""
    parts = module.split(".")
    return parts[0], parts[1] if len(parts) > 1 else "__init__"


def wrong(importer, target):
    """Why this arrow is not allowed, or None."""
    (package, mine), (other, theirs) = room(importer), room(target)
    if package == "constructions" and other == "theory":
        return "constructions never imports theory"
    if other == "momlp" and package != "momlp":
        return "momlp stands above both packages"
    if target.startswith("theory.cli") and importer not in COMMANDS and mine != "cli":
        return "nothing imports cli"
    if mine in DOORS[package]:
        return None
    if theirs in DOORS[other] and theirs != "__init__" and (package, other) != ("theory", "constructions"):
        return None if (mine, theirs) in THROUGH_A_DOOR else "a door stands above the rooms"
    if theirs in NAMES and mine not in NAMES:
        return "a shared room imports no system"
    if theirs in NAMES and mine in NAMES and theirs != mine and theirs not in system(mine).uses:
        return f"{mine} does not use {theirs}"
    return None


def faults(pairs):
    found = ((a, b, wrong(a, b)) for a, b in pairs)
    return [f"{a} -> {b}: {why}" for a, b, why in found if why is not None]


def test_imports_follow_the_table():
    assert faults(set(arrows(modules()))) == []


def test_there_is_no_circle():
    graph = nx.DiGraph(arrows(modules()))
    circles = [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
    assert circles == []


@pytest.mark.parametrize(
    ("importer", "target"),
    [
        ("constructions.momlp.plan", "theory.claim"),
        ("theory.checkers.parameter_count", "constructions.momlp.model"),
        ("theory.claim", "theory.momlp.bounds"),
        ("theory.vc_dimension.bounds", "theory.bit_extraction.bounds"),
        ("constructions.momlp.fit", "constructions.bit_extraction.plan"),
        ("constructions.pathway_tree.tree", "constructions.store"),
        ("theory.momlp.verbs", "theory.cli.models"),
        ("theory.cli.verdicts", "momlp"),
        ("constructions.build", "momlp"),
    ],
)
def test_the_check_itself_can_fail(importer, target):
    assert faults([(importer, target)]) != []


def test_hidden_imports_are_seen(tmp_path):
    path = tmp_path / "hidden.py"
    path.write_text("if TYPE_CHECKING:\n    import theory.claim\ndef f():\n    from theory import cli\n")
    assert list(imported(path)) == ["theory.claim", "theory.cli"]


def test_forbidden_calls_are_absent():
    """torch.cdist disagrees with the exact argmin on cell faces; pickles are not opened."""
    for path in modules().values():
        text = path.read_text(encoding="utf-8")
        assert "torch.cdist(" not in text, path
        assert "torch.load(" not in text, path
        assert "lambdify(" not in text, path
