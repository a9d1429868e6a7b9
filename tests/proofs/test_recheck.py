"""Proof files: what is written is accepted, and nothing false is, whoever wrote it."""

import ast
import gzip
import hashlib
import io
import json
import random
import sys
import tokenize
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from constructions import LipschitzFunction, build_momlp, load, save, targets
from theory import error_proofs, proofs
from theory.checkers.uniform_error import certify_uniform_error

CHECK = proofs.checker()
CASES = {
    "pencil": ("sin(2*pi*x0)*x1", 2, {"eps": 0.2}),
    "prelu": ("Abs(x0 - 1/3)", 1, {"eps": 0.05, "activation": "prelu"}),
    "float32": ("sin(3*x0)", 1, {"eps": 0.05, "dtype": torch.float32}),
    "constant": ("x0*x1", 2, {"eps": 0.3, "expert": "constant"}),
    "two outputs": ("x0, Max(x0, x1)", 2, {"eps": 0.3}),
    "pieces": ("Piecewise((x0, x0 < 1/2), (1 - x0, True))", 1, {"eps": 0.05}),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """(model file, f, eps, proof)."""
    formula, n, options = CASES[request.param]
    f = LipschitzFunction.from_sympy(formula, n=n)
    path = tmp_path_factory.mktemp("proofs") / "model.safetensors"
    save(build_momlp(f, **options), path)
    return path, f, options["eps"], error_proofs.uniform_error_proof(path, formula, options["eps"])


def written(folder: Path, proof: dict, name: str = "x.proof") -> Path:
    return proofs.write_proof(folder / name, "uniform_error", proof)


def test_a_written_proof_is_accepted(case):
    path, _, eps, proof = case
    status, words = CHECK.decide(written(path.parent, proof))
    assert (status, f"<= {eps:.9g}" in words) == (0, True), words


def test_the_least_eps_is_between_the_certified_ends(case):
    """The same eps, decided by the package and by the checker: below the certified lower end nothing is accepted."""
    path, f, eps, proof = case
    certificate = certify_uniform_error(load(path), f, gap=0.02, max_evaluations=200_000)
    false = dict(proof, eps=str(Fraction(certificate.lower) * Fraction(9, 10)))
    assert CHECK.decide(written(path.parent, false))[0] == 1
    with pytest.raises(ValueError, match="`eps` must be above the error"):
        error_proofs.uniform_error_proof(path, proof["formula"], certificate.lower * 0.9)
    true = error_proofs.uniform_error_proof(path, proof["formula"], min(eps, certificate.upper * 1.1))
    assert CHECK.decide(written(path.parent, true))[0] == 0


def test_the_file_is_read_as_the_package_reads_it(case):
    """Cells, order of the leaves, both layers: exact values of what the checker read against forward()."""
    path, f, _, _ = case
    model, mixture = load(path), CHECK.Mixture(path, hashlib.sha256(path.read_bytes()).hexdigest())
    x = f.domain.sample(64, torch.Generator().manual_seed(3))
    leaves = model.tree.flat_index(model.route(x)).tolist()
    with torch.no_grad():
        answers = model(x).double().tolist()
    for point, leaf, answer in zip(x.tolist(), leaves, answers, strict=True):
        box = mixture.cell(leaf)
        assert all(low <= Fraction(v) <= high for v, (low, high) in zip(point, box, strict=True))
        found = mixture.network(leaf)([CHECK.Dual.of(Fraction(v)) for v in point])
        off = CHECK.rounding(mixture.layers(leaf), mixture.sizes, mixture.bits)
        for (mine, theirs), slack in zip(((y.value, v) for y, v in zip(found, answer, strict=True)), off, strict=True):
            assert mine.hi - mine.lo < 2**20
            assert abs(mine - CHECK.Interval.of(Fraction(theirs))).hi <= slack + 2**20


# --- what is wrong is refused ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    path = tmp_path_factory.mktemp("tampered") / "model.safetensors"
    save(build_momlp(LipschitzFunction.from_sympy("sin(6*x1)*x0", n=2), eps=0.5), path)
    return path, error_proofs.uniform_error_proof(path, "sin(6*x1)*x0", 0.5)


WRONG = {
    "a cell is left out": lambda p: dict(p, cuts=p["cuts"][:-1]),
    "a cell too many": lambda p: dict(p, cuts=[*p["cuts"], "."]),
    "a box is dropped": lambda p: dict(p, cuts=[p["cuts"][0][:-1], *p["cuts"][1:]]),
    "a box too many": lambda p: dict(p, cuts=[p["cuts"][0] + ".", *p["cuts"][1:]]),
    "nothing is cut": lambda p: dict(p, cuts=["."] * len(p["cuts"])),
    "eps is lowered": lambda p: dict(p, eps="1/25"),
    "eps is negative": lambda p: dict(p, eps="-1/2"),
    "another function": lambda p: dict(p, formula="sin(6*x1)*x0 + 2"),
    "another domain": lambda p: dict(p, domain=[["0", "2"], ["0", "1"]]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_proof_with_a_fresh_digest_is_refused(proven, name):
    path, proof = proven
    status, words = CHECK.decide(written(path.parent, WRONG[name](proof)))
    assert status == 1, words


def test_another_model_is_refused(proven):
    path, proof = proven
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118
    tensors["out_bias"][3] += 0.3  # a node is moved
    moved = path.parent / "moved.safetensors"
    save_file(tensors, moved, metadata)
    status, words = CHECK.decide(written(path.parent, dict(proof, model=dict(proof["model"], file=moved.name))))
    assert (status, "not the model" in words) == (1, True)
    digest = hashlib.sha256(moved.read_bytes()).hexdigest()
    status, words = CHECK.decide(written(path.parent, dict(proof, model={"file": moved.name, "sha256": digest})))
    assert (status, "the bound is" in words) == (1, True), words


EDITS = 200


def test_two_hundred_random_edits(proven):
    """A fresh digest each time; what is still accepted must be true: the error is then measured at random points."""
    path, proof = proven
    draw, accepted = random.Random(5), 0
    model = load(path)
    x = torch.rand(2000, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    error = float((model(x)[:, 0] - torch.sin(6 * x[:, 1]) * x[:, 0]).abs().max())
    for _ in range(EDITS):
        changed = dict(proof, cuts=list(proof["cuts"]))
        cell = draw.randrange(len(changed["cuts"]))
        place = draw.randrange(len(changed["cuts"][cell]))
        letters = changed["cuts"][cell]
        kind = draw.randrange(5)
        if kind == 0:
            changed["eps"] = str(Fraction(proof["eps"]) * Fraction(draw.randint(1, 1999), 1000))
        elif kind == 1:
            changed["cuts"][cell] = letters[:place] + draw.choice("01.") + letters[place + 1 :]
        elif kind == 2:
            changed["cuts"][cell] = letters[:place] + letters[place + 1 :]
        elif kind == 3:
            changed["cuts"][cell] = letters[:place] + draw.choice("01.") + letters[place:]
        else:
            other = draw.randrange(len(changed["cuts"]))
            changed["cuts"][cell], changed["cuts"][other] = changed["cuts"][other], changed["cuts"][cell]
        if CHECK.decide(written(path.parent, changed))[0] == 0:
            accepted += 1
            assert error <= Fraction(changed["eps"])
    assert accepted < EDITS


def test_two_hundred_damaged_files(proven):
    path, proof = proven
    data = bytearray(written(path.parent, proof).read_bytes())
    draw, target = random.Random(7), path.parent / "damaged.proof"
    for _ in range(200):
        damaged = bytearray(data)
        if draw.random() < 0.3:
            damaged = damaged[: draw.randrange(len(damaged))]
        else:
            damaged[draw.randrange(10, len(damaged))] ^= 1 << draw.randrange(8)
        target.write_bytes(damaged)
        status, words = CHECK.decide(target)
        assert status == 2, words


@pytest.mark.parametrize(
    ("formula", "why"),
    [("x0.__class__", "language"), ("__import__('os')", "language"), ("(lambda: 1)()", "language"), ("x2", "language")],
)
def test_a_formula_is_no_program(proven, formula, why):
    path, proof = proven
    status, words = CHECK.decide(written(path.parent, dict(proof, formula=formula)))
    assert (status, why in words) == (1, True)


def test_files_of_the_matrix_inequality():
    folder = Path(__file__).parents[2] / "constructions" / "am_gm" / "certificates"
    files = sorted(folder.glob("*.json"))
    assert len(files) == 28
    for file in files:
        assert CHECK.decide(file)[0] == 0, file


@pytest.mark.parametrize("key", ["bound", "H", "G", "m"])
def test_a_changed_matrix_certificate_is_refused(tmp_path, key):
    source = Path(__file__).parents[2] / "constructions" / "am_gm" / "certificates" / "n3m2_lower.json"
    fields = json.loads(source.read_text())
    if key == "bound":
        fields[key] = "5"
    elif key == "m":
        fields[key] = 3
    else:
        fields[key][2][2] = str(Fraction(fields[key][2][2]) + Fraction(1, 10**9))
    (tmp_path / "x.json").write_text(json.dumps(fields))
    assert CHECK.decide(tmp_path / "x.json")[0] == 1


def test_two_hundred_edits_of_matrix_certificates(tmp_path):
    """Numbers of orbits moved, exchanged, orbits dropped or doubled, the bound or the side altered: each breaks the
    identity, which holds word by word."""
    folder = Path(__file__).parents[2] / "constructions" / "am_gm" / "certificates"
    sources = [json.loads((folder / f"{name}.json").read_text()) for name in ("n3m2_lower", "n3m2_upper", "n3m3_lower")]
    draw = random.Random(8)
    for number in range(200):
        fields = json.loads(json.dumps(draw.choice(sources)))
        entries = fields[draw.choice("HG")]
        entry = draw.choice(entries)
        step, kind = draw.choice((1, -1)) * Fraction(1, 2 ** draw.randint(0, 80)), number % 6
        if kind == 0:
            entry[2] = str(Fraction(entry[2]) + step)
        elif kind == 1:
            entries.remove(entry)
        elif kind == 2:
            entries.append(list(entry))
        elif kind == 3:
            other = draw.choice([e for e in entries if Fraction(e[2]) != Fraction(entry[2])] or [None])
            if other is None:
                fields["m"] += 1
            else:
                entry[2], other[2] = other[2], entry[2]
        elif kind == 4:
            fields["bound"] = str(Fraction(fields["bound"]) + step)
        else:
            fields["side"] = {"lower": "upper", "upper": "lower"}[fields["side"]]
        (tmp_path / "x.json").write_text(json.dumps(fields))
        status, words = CHECK.decide(tmp_path / "x.json")
        assert status != 0, (number, words)


def test_a_matrix_that_is_not_positive_is_refused():
    assert CHECK.positive([[Fraction(1), Fraction(1)], [Fraction(1), Fraction(1)]])
    assert not CHECK.positive([[Fraction(0), Fraction(1)], [Fraction(1), Fraction(5)]])
    assert not CHECK.positive([[Fraction(1), Fraction(2)], [Fraction(2), Fraction(3)]])


# --- the checker itself ------------------------------------------------------------------------------------------


def test_it_imports_the_standard_library_alone():
    tree = ast.parse(proofs.CHECKER.read_text())
    named = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    named |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    assert named <= set(sys.stdlib_module_names)


def test_it_has_at_most_500_lines_of_code():
    """Blank lines, comments and docstrings do not count."""
    source = proofs.CHECKER.read_text()
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    assert 100 < len(lines) <= 500


def test_recheck_runs_in_a_process_of_its_own(proven, capfd):
    path, proof = proven
    good, bad = written(path.parent, proof), written(path.parent, dict(proof, eps="1/25"), "bad.proof")
    assert proofs.recheck([good]) == 0
    assert proofs.recheck([good, bad]) == 1
    (path.parent / "no.proof").write_bytes(b"nothing")
    assert proofs.recheck([good, bad, path.parent / "no.proof"]) == 2
    printed = capfd.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == [
        "proved", "proved", "REFUSED", "proved", "REFUSED", "UNREADABLE",
    ]  # fmt: skip


def test_a_stale_table_or_plan_is_no_stored_expert(tmp_path):
    f = LipschitzFunction.from_sympy("x0", n=1)
    lazy = save(build_momlp(f, eps=0.1, lazy=True), tmp_path / "lazy.safetensors")
    with pytest.raises(ValueError, match="none of stored pencils"):
        error_proofs.uniform_error_proof(lazy, "x0", 0.2)
    table = save(build_momlp(f, eps=0.1).tabulate(), tmp_path / "table.safetensors")
    with pytest.raises(ValueError, match="none of stored pencils"):
        error_proofs.uniform_error_proof(table, "x0", 0.2)


def test_rounding_of_a_forward_pass_is_bounded():
    """Against float32 arithmetic in torch, where it can be seen; a bound without the inner error would be missed."""
    g = torch.Generator().manual_seed(1)
    w, b = torch.randn(40, 3, generator=g), torch.randn(40, generator=g)
    v, c = torch.randn(1, 40, generator=g), torch.randn(1, generator=g)
    layers = [(enclosed(w.tolist()), enclosed(b.tolist())), (enclosed(v.tolist()), enclosed(c.tolist()))]
    (off,) = CHECK.rounding(layers, [CHECK.ONE] * 3, 24)
    x = torch.rand(500, 3, generator=g, dtype=torch.float64) * 2 - 1
    single = (torch.relu(x.float() @ w.T + b) @ v.T + c).double()
    double = torch.relu(x @ w.double().T + b.double()) @ v.double().T + c.double()
    worst = float((single - double).abs().max())
    assert 0 < worst <= float(Fraction(off, CHECK.ONE)) < 1e4 * worst


def enclosed(numbers):
    return [enclosed(v) if isinstance(v, list) else CHECK.Interval.of(Fraction(v)) for v in numbers]


def test_the_format_is_packed_json(proven):
    path, proof = proven
    contents = json.loads(gzip.decompress(written(path.parent, proof).read_bytes()))
    assert set(contents) == {"format", "version", "kind", "proof", "sha256"}
    assert contents["proof"] == proof
    assert not any(isinstance(v, float) for v in proof.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cone", "sum_of_sines", "max_affine", "rotated_sine"])
def test_the_listed_instances_of_two_inputs_have_proofs(name, tmp_path):
    """708 cells of 708 knots: what `momlp verify momlp.uniform_error --budget full --proofs DIR` writes."""
    f = targets.get(name, n=2)
    path = error_proofs.save_uniform_error(tmp_path / "x.proof", build_momlp(f, eps=1e-3), f, 1e-3)
    status, words = CHECK.decide(path)
    assert (status, "<= 0.001 on [0, 1] x [0, 1], rounding included" in words) == (0, True), words
