"""Proofs about functions that nobody can ask again: the modulus and the values at the nodes are premises, all else is
derived. Any function that meets the premises lies between two envelopes, which say independently what is true."""

import gzip
import hashlib
import json
import random
from fractions import Fraction
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import momlp
import theory
from theory import cli, error_proofs, proofs

CHECK = proofs.checker()


def waves(x):
    return 0.4 * np.sin(2 * x[:, 0]) + 0.3 * x[:, -1]


def root(x):
    return (x - 0.3).abs().sqrt()


def both(x):
    return torch.stack([x[:, 0] * 0.5, (x[:, 0] - x[:, 1]).abs() * 0.5], dim=1)


CASES = {
    "pencils": (momlp.LipschitzFunction.from_numpy(waves, n=2, lipschitz=1.0), {"eps": 0.1}),
    "constants": (momlp.LipschitzFunction.from_numpy(waves, n=2, lipschitz=1.0), {"eps": 0.2, "expert": "constant"}),
    "hoelder": (momlp.LipschitzFunction(root, n=1, modulus=momlp.Modulus.holder(1.0, 0.5)), {"eps": 0.05}),
    "prelu": (momlp.LipschitzFunction.from_numpy(waves, n=2, lipschitz=1.0), {"eps": 0.1, "activation": "prelu"}),
    "two outputs": (momlp.LipschitzFunction(both, n=2, m=2, lipschitz=1.0), {"eps": 0.2}),
    "a box": (
        momlp.LipschitzFunction.from_numpy(waves, n=2, lipschitz=1.0, domain=[(-1, 2), (0, 0.5)]),
        {"eps": 0.2},
    ),
}


@pytest.fixture(scope="module", params=CASES)
def proven(request, tmp_path_factory):
    """(file, contents, model)."""
    f, options = CASES[request.param]
    model = momlp.build_momlp(f, **options)
    folder = tmp_path_factory.mktemp("black")
    path = momlp.certify_uniform_error(model, f, eps=options["eps"]).save(folder / "f.proof")
    _, proof = CHECK.read(path)
    return path, proof, model


def written(path, proof):
    return proofs.write_proof(path.parent / "edited.proof", "uniform_error", proof)


def test_the_premises_are_stated_and_the_rest_is_decided(proven):
    path, proof, _ = proven
    status, words = CHECK.decide(path)
    assert (status, words.startswith("if f has the values in the file and |f(x) - f(y)| <= 1 |x - y|^(")) == (0, True)
    assert proof["formula"] == "black box"


def farthest(proof, model, count=400):
    """sup |f - model| at random points over all f that meet the premises; -inf where none does."""
    given = proof["premise"]
    middles = torch.tensor([[float(Fraction(v)) for v in row] for row in given["middles"]], dtype=torch.float64)
    knots = torch.tensor([float(Fraction(t)) for t in given["knots"]], dtype=torch.float64)
    values = torch.tensor([[[float(Fraction(v)) for v in y] for y in row] for row in given["values"]])
    values = values.reshape(-1, model.plan.m).double()
    nodes = middles
    if len(knots):
        nodes = torch.cat([middles.repeat_interleave(len(knots), 0), knots.repeat(len(middles))[:, None]], dim=1)
    x = model.plan.domain.sample(count, torch.Generator().manual_seed(1))
    reach = float(Fraction(given["lipschitz"])) * (x[:, None] - nodes).norm(dim=-1) ** float(
        Fraction(given["exponent"])
    )
    highest = (values[None] + reach[..., None]).amin(1)
    lowest = (values[None] - reach[..., None]).amax(1)
    if bool((highest < lowest - 1e-12).any()):
        return -np.inf
    with torch.no_grad():
        answers = model(x).double().reshape(count, -1)
    return float(torch.maximum((highest - answers).abs(), (lowest - answers).abs()).max())


def edited(proof, draw):
    changed = json.loads(json.dumps(proof))
    given, kind = changed["premise"], draw.randrange(9)
    moved = draw.choice((Fraction(1, 2**60), Fraction(1, 1000), Fraction(1, 3))) * draw.choice((1, -1))
    if kind == 0:
        changed["eps"] = str(Fraction(proof["eps"]) * Fraction(draw.randint(1, 1999), 1000))
    elif kind == 1:
        given["lipschitz"] = str(Fraction(given["lipschitz"]) * Fraction(draw.randint(-100, 1900), 1000))
    elif kind == 2:
        given["exponent"] = str(Fraction(draw.randint(-2, 30), 10))
    elif kind == 3:
        values = draw.choice(draw.choice(given["values"]))
        values[0] = str(Fraction(values[0]) + moved)
    elif kind == 4:
        middle = draw.choice(given["middles"])
        if middle:
            middle[0] = str(Fraction(middle[0]) + moved)
    elif kind == 5 and given["knots"]:
        at = draw.randrange(len(given["knots"]))
        given["knots"][at] = str(Fraction(given["knots"][at]) + moved)
    elif kind == 6:
        del given["values"][draw.randrange(len(given["values"]))]
    elif kind == 7 and len(given["knots"]) > 2:
        at = draw.randrange(len(given["knots"]))
        del given["knots"][at]
        for row in given["values"]:
            del row[at]
    else:
        changed["cuts"] = changed["cuts"][draw.randint(0, 1) :]
    return changed


def test_edits_that_are_still_proved_are_true(proven):
    path, proof, model = proven
    draw, accepted = random.Random(9), 0
    assert farthest(proof, model) <= Fraction(proof["eps"])
    for _ in range(40):  # of each of six cases
        changed = edited(proof, draw)
        if CHECK.decide(written(path, changed))[0] == 0:
            accepted += 1
            assert farthest(changed, model) <= Fraction(changed["eps"])
    assert 0 < accepted < 30


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda p: p["premise"].update(knots=[], values=[row[:1] for row in p["premise"]["values"]]),
            "nodes that span",
        ),
        (lambda p: p["premise"].update(exponent="2"), "nodes that span"),
        (lambda p: p["premise"].update(lipschitz="-1"), "nodes that span"),
        (lambda p: p["premise"]["knots"].reverse(), "nodes that span"),
        (lambda p: p["premise"]["knots"].__setitem__(1, "1/1000"), "not affine"),
        (lambda p: p.update(eps="1/1000"), "the bound is"),
        (lambda p: p["cuts"].pop(), "not as many cells"),
    ],
)
def test_what_does_not_follow_is_refused(tmp_path, change, why):
    f, options = CASES["pencils"]
    path = error_proofs.save_uniform_error(tmp_path / "f.proof", momlp.build_momlp(f, **options), f, options["eps"])
    _, proof = CHECK.read(path)
    change(proof)
    status, words = CHECK.decide(written(path, proof))
    assert (status, why in words) == (1, True), words


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("hidden_weight", lambda t: t[0].__setitem__(0, 0.5), "other axes"),
        ("slope", lambda t: t.__setitem__(0, 1.5), "bend by more"),
        ("hidden_bias", lambda t: t[1].add_(0.01), "not affine"),
        ("out_bias", lambda t: t.add_(0.05), "the bound is"),
    ],
)
def test_a_model_of_another_kind_is_refused(tmp_path, name, change, why):
    """With the digest of the altered file: the hypotheses are read from the weights."""
    f, options = CASES["prelu"]
    path = error_proofs.save_uniform_error(tmp_path / "f.proof", momlp.build_momlp(f, **options), f, options["eps"])
    _, proof = CHECK.read(path)
    stored = tmp_path / "f.safetensors"
    with safe_open(stored, framework="pt") as file:
        tensors, metadata = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118
    change(tensors[name])
    save_file(tensors, stored, metadata)
    proof["model"]["sha256"] = hashlib.sha256(stored.read_bytes()).hexdigest()
    status, words = CHECK.decide(written(path, proof))
    assert (status, why in words) == (1, True), words


def test_what_cannot_be_a_premise_says_why(tmp_path):
    odd = momlp.LipschitzFunction(root, n=1, modulus=lambda t: t**0.5)
    model = momlp.build_momlp(odd, eps=0.2)
    with pytest.raises(ValueError, match="`f` must have a Lipschitz or Hölder modulus"):
        error_proofs.save_uniform_error(tmp_path / "f.proof", model, odd, 0.2)
    assert not list(tmp_path.iterdir())
    f, options = CASES["pencils"]
    with pytest.raises(ValueError, match=r"no proof file can be written for .* the bound is"):
        error_proofs.save_uniform_error(tmp_path / "f.proof", momlp.build_momlp(f, **options), f, 0.01)


def test_the_file_is_as_the_schema_says(proven):
    path, _, _ = proven
    schema = json.loads((Path(theory.__file__).parent / "proof.schema.json").read_text())
    contents = json.loads(gzip.decompress(path.read_bytes()))
    jsonschema.validate(contents, schema)
    contents["proof"]["premise"]["seen"] = "1"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(contents, schema)


def test_the_command_writes_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "simulator.py").write_text(
        "import momlp\nf = momlp.LipschitzFunction.from_numpy(lambda x: 0.5*abs(x[:, 0] - 0.3), n=1, lipschitz=1.0)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cli.main(["build", "--function", "simulator:f", "--eps", "0.1", "--out", "m.safetensors"]) == 0
    certify = ["certify", "m.safetensors", "--function", "simulator:f", "--proof", "m.proof"]
    assert cli.main(certify) == 0
    assert "momlp recheck m.proof" in capsys.readouterr().out
    assert CHECK.decide(tmp_path / "m.proof")[0] == 0
