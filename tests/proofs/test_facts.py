"""Facts: what the language decides, what it refuses, and that no edit makes a false statement pass."""

import gzip
import json
import random
from fractions import Fraction
from pathlib import Path

import jsonschema
import pytest

import theory
from theory import proofs, systems
from theory.claim import Context, Status
from theory.systems import REGISTRY

CHECK = proofs.checker()
SCHEMA = json.loads((Path(theory.__file__).parent / "proof.schema.json").read_text())
FILED = [claim for claim in REGISTRY if REGISTRY[claim].system in systems.NAMES and systems.proofs(claim) is not None]
HEAVY = {
    "am_gm.certified_pairs", "bit_extraction.parameters", "momlp.certificate_tightness", "pathway_tree.covering_net",
    "vc_dimension.mixture", "vc_dimension.routing_only", "vc_dimension.tree_router", "vc_dimension.deep",
    "lipschitz_expressiveness.tent_map", "demo_optimizer.quadratic_convergence", "am_gm.five_constant",
    "lipschitz_expressiveness.pencils", "vc_dimension.one_hidden_layer", "super_expressive.infinite_vc_dimension",
}  # fmt: skip
"""Claims whose files take seconds: the slow tests and `momlp verify --proofs` write them."""


def decided(tmp_path, *stated, **options):
    kind, proof = proofs.facts(*stated, **options)
    path = proofs.write_proof(tmp_path / "x.proof", kind, {"claim": "none", **proof})
    return CHECK.decide(path)


HOLDS = [
    "1/2 + 1/2 == 1", "0.1 + 0.2 == 0.3", "2**-1 == 1/2", "sqrt(2) < 3/2", "log(8)/log(2) > 2.99", "2**(1/2) < 1.5",
    "(X + Y)**2 == X**2 + 2*X*Y + Y**2", "X - X == 0", "(X + 1)/2 - X/2 == 1/2", "max(2, pi) > 3",
    "all([x > 0 for x in range(1, 4)])", "len(set([[1, 2], [2/2, 2]])) == 1", "comb(4/2, 1) == 2", "floor(7/2) == 3",
    "(lambda x: x + 1)(1) == 2", "7 % 4 == 3", "sum([1*(s[0] > s[1]) for s in permutations(range(2), 2)]) == 1",
]  # fmt: skip
REFUSED = {
    "1 == 2": "false", "1": "false", "True and 1": "false", "[]": "false", "sqrt(4) < 2": "overlap",
    "sqrt(4) <= 2": "overlap", "pi == 3": "never decided", "not pi == 3": "never decided", "all([])": "nothing",
    "X == Y": "false", "X*X == X": "false", "X**(1/2) == X": "whole powers", "x0.a == 1": "language",
    "'a' == 'a'": "language",
    "__import__('os') == 1": "language", "number('1') == 1": "language", "power(2, 2) == 4": "language",
    "[sum for sum in [1]] == [1]": "meaning already", "(lambda power: 1)(2) == 1": "meaning already",
    "log(0 - 1) < 1": "outside", "(x := 1) == 1": "language", "{1: 2} == 1": "language", "f'{1}' == 1": "language",
}  # fmt: skip
UNREADABLE = ["comb(5/2, 1) == 2", "[1, 2][1/2] == 1", "range(3/2) == 1", "len(set([pi])) == 1", "1/0 == 1", "1 +"]


@pytest.mark.parametrize("text", HOLDS)
def test_what_holds_is_proved(tmp_path, text):
    assert decided(tmp_path, text, variables=("X", "Y"))[0] == 0


@pytest.mark.parametrize("text", REFUSED)
def test_what_does_not_follow_is_refused(tmp_path, text):
    status, words = decided(tmp_path, text, variables=("X", "Y"))
    assert (status, REFUSED[text] in words) == (1, True), words


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_has_no_meaning_proves_nothing(tmp_path, text):
    assert decided(tmp_path, text)[0] != 0


def test_nothing_stated_is_refused(tmp_path):
    assert decided(tmp_path) == (1, "nothing is stated")


def test_names_mean_one_thing(tmp_path):
    for options in ({"data": {"sum": ["1"]}}, {"definitions": {"power": "1"}}, {"variables": ("X",), "data": {"X": 1}}):
        assert decided(tmp_path, "1 == 1", **options)[0] == 1
    assert decided(tmp_path, "f(1) == 1", definitions={"f": "lambda n: f(n - 1)"})[0] == 1  # no recursion


# --- claims ---------------------------------------------------------------------------------------------


def written(claim, folder):
    produce = systems.proofs(claim)
    assert produce is not None
    return proofs.write_claim(folder, claim, produce(Context(), folder))


def check_claim(claim, folder):
    files = written(claim, folder)
    assert files
    for path in files:
        assert CHECK.decide(path)[0] == 0, CHECK.decide(path)


@pytest.mark.parametrize("claim", sorted(set(FILED) - HEAVY))
def test_the_files_of_a_claim_are_proved(claim, tmp_path):
    check_claim(claim, tmp_path)


@pytest.mark.parametrize("claim", ["am_gm.three", "scaling_laws.planning", "momlp.variants"])
def test_files_are_as_the_schema_says(claim, tmp_path):
    for path in written(claim, tmp_path):
        contents = json.loads(gzip.decompress(path.read_bytes()))
        jsonschema.validate(contents, SCHEMA)
        wrong = {
            **contents,
            "proof": {k: v for k, v in contents["proof"].items() if k not in ("facts", "bound", "eps")},
        }
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


@pytest.mark.slow
@pytest.mark.parametrize("claim", sorted(HEAVY))
def test_the_longer_files_of_a_claim_are_proved(claim, tmp_path):
    check_claim(claim, tmp_path)


def test_four_fifths_of_the_strong_claims_have_files():
    strong = [c for c in REGISTRY if REGISTRY[c].expected in (Status.PROVED, Status.CERTIFIED)]
    assert set(FILED) <= set(strong)
    assert len(FILED) >= 0.8 * len(strong)


# --- edits ----------------------------------------------------------------------------------------------

EDITED = [
    "scaling_laws.nyquist_jump", "scaling_laws.nyquist_bandwidth", "scaling_laws.planning", "am_gm.pairs",
    "shapley_interactions.k_sii", "sublinear_training.identities", "momlp.curse_of_dimensionality",
    "lipschitz_expressiveness.controller", "momlp.trade_off", "momlp.sharpness", "demo_optimizer.payload",
    "demo_optimizer.conservation", "scaling_laws.shallow_lower_bound", "shapley_interactions.first_available",
]  # fmt: skip
EDITS = 15
"""Of each: 210 together."""


def places(value, path=()):
    """Paths of all numbers in nested lists and dictionaries."""
    if isinstance(value, str):
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [place for key, part in items for place in places(part, (*path, key))]


def edited(data, path, draw):
    """The data with one number moved: by one, by a last place of a float, or to the other sign."""
    copy = json.loads(json.dumps(data))
    inside = copy
    for key in path[:-1]:
        inside = inside[key]
    number = Fraction(inside[path[-1]])
    moved = draw.choice((number + 1, number - 1, number + Fraction(abs(number) or 1) / 2**20, -number - (number == 0)))
    inside[path[-1]] = str(moved)
    return copy


def moved_literal(text, draw):
    """One digit of a formula, another one."""
    digits = [i for i, c in enumerate(text) if c.isdigit()]
    if not digits:
        return text + " + 1"
    at = draw.choice(digits)
    return text[:at] + str((int(text[at]) + draw.randint(1, 8)) % 10) + text[at + 1 :]


@pytest.mark.parametrize("claim", EDITED)
def test_edits_with_a_fresh_digest_are_refused(claim, tmp_path):
    """Numbers moved and formulas altered by somebody who also writes the digest. What is still proved is true: bounds
    that leave room, or numbers of cases that are drawn. Most edits make something false, and that is refused."""
    produce = systems.proofs(claim)
    kind, proof = produce(Context(), tmp_path)[-1]
    draw, refused = random.Random(claim), 0
    numbers = places(proof["data"])
    for number in range(EDITS):
        changed = dict(proof, claim=claim)
        if numbers and number % 3:
            changed["data"] = edited(proof["data"], draw.choice(numbers), draw)
        else:
            at = draw.randrange(len(proof["facts"]))
            changed["facts"] = [moved_literal(t, draw) if i == at else t for i, t in enumerate(proof["facts"])]
        refused += CHECK.decide(proofs.write_proof(tmp_path / "edited.proof", kind, changed))[0] != 0
    assert refused >= EDITS // 3


@pytest.mark.parametrize("claim", EDITED)
def test_the_contrary_of_every_fact_is_refused(claim, tmp_path):
    produce = systems.proofs(claim)
    kind, proof = produce(Context(), tmp_path)[-1]
    for text in proof["facts"][:4]:
        contrary = dict(proof, claim=claim, facts=[f"not ({text})"])
        status, words = CHECK.decide(proofs.write_proof(tmp_path / "contrary.proof", kind, contrary))
        assert (status, "false" in words) == (1, True), words
