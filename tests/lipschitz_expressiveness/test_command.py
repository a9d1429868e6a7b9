"""`momlp lipschitz`: what it prints, draws, writes and refuses."""

import json
import sys

import pytest
import torch
from PIL import Image

from constructions import build_momlp, save, targets
from constructions.lipschitz_expressiveness import table_networks, tent_map
from theory import cli
from theory.lipschitz_expressiveness.figures import FIGURES

MODULE = """
from constructions.lipschitz_expressiveness import table_networks, tent_map
net = list(table_networks())[3].module
tent = tent_map(5)
steep = tent_map(600)
number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "lipschitz_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("lipschitz_of_mine", None)


def run(*words):
    return cli.main(["lipschitz", *words])


def test_a_network_of_mine_is_bounded_and_drawn(mine, capsys):
    assert run("lipschitz_of_mine:net", "--box", "[-1,1];[-1,1]", "--out", "a.png", "--json", "a.json") == 0
    said = capsys.readouterr().out
    assert "CERTIFIED: Lipschitz constant of lipschitz_of_mine:net on [-1, 1] × [-1, 1]" in said
    assert said.count("3.9244421") == 2
    assert "auto picked branch_and_bound (there is a box)" in said
    with Image.open(mine / "a.png") as picture:
        assert min(picture.size) > 300
    found = json.loads((mine / "a.json").read_text())
    assert found["status"] == "CERTIFIED"
    assert found["lower"] == pytest.approx(3.924442103, rel=1e-9)
    J = torch.tensor(found["jacobian"], dtype=torch.float64)
    assert float(torch.linalg.matrix_norm(J, 2)) == pytest.approx(found["lower"], rel=1e-12)


def test_one_interval_serves_every_axis(mine, capsys):
    for spelling in ("[-1,1]", "[-1, 1]; [-1, 1]"):
        assert (
            cli.main(["lipschitz_expressiveness", "bounds", "lipschitz_of_mine:net", f"--box={spelling}", "--json"])
            == 0
        )
        found = json.loads(capsys.readouterr().out)
        assert found["box"] == [[-1.0, -1.0], [1.0, 1.0]]
        assert found["schema"] == 1


def test_rationals_and_numbers_beyond_floats_are_written(mine, capsys):
    assert run("lipschitz_of_mine:tent", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["exact_squared"], found["upper"]) == ("PROVED", "1024", 32.0)
    assert run("lipschitz_of_mine:steep", "--method", "product", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["upper"] is None
    assert found["log2_upper"] == pytest.approx(1596.578, abs=1e-3)
    assert run("lipschitz_of_mine:steep", "--method", "product") == 0
    assert "2^1596.5784" in capsys.readouterr().out


def test_experts_of_a_stored_mixture_are_bounded_on_their_cells(mine, capsys):
    model = build_momlp(targets.get("cone", n=2), eps=0.2)
    path = save(model, mine / "m.safetensors")
    assert run(str(path), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["name"].endswith(f"of {model.num_leaves}")
    assert 0.5 < found["lower"] <= found["upper"] <= 1 + 1e-9
    assert len(found["experts"]) == model.num_leaves
    assert max(e["log2_upper"] for e in found["experts"]) == found["log2_upper"]
    assert run(str(path)) == 0
    said = f"the largest upper end of {model.num_leaves} experts, each on its own cell; {model.num_leaves} intervals"
    assert said in " ".join(capsys.readouterr().out.split())
    assert run(str(path), "--leaf", "1", "--box", "[0,1]", "--json") == 0
    assert json.loads(capsys.readouterr().out)["box"] == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["lipschitz_of_mine:net", "--box", "[1,-1]"], "`--box: lower ends` must be below `--box: upper ends`"),
        (["lipschitz_of_mine:net", "--box", "[1,"], "`--box` must look like"),
        (["lipschitz_of_mine:net", "--box", "[a,b]"], "`--box` must look like"),
        (["lipschitz_of_mine:net", "--box", "[nan,1]"], "`--box: lower ends` must be finite"),
        (["lipschitz_of_mine:net", "--box", "[0,1];[0,1];[0,1]"], "`--box: lower ends` must have shape (2,)"),
        (["lipschitz_of_mine:nothing"], "cannot be imported"),
        (["lipschitz_of_mine:number"], "must be a torch.nn.Module, got int"),
        (["lipschitz_of_mine:net", "--leaf", "0"], "`--leaf` is for stored mixtures"),
        (["lipschitz_of_mine:net", "--seconds", "0"], "`--seconds` must be a positive"),
        (["lipschitz_of_mine:net", "--input-shape", "1,x"], "`--input-shape` must be integers"),
        (["missing.safetensors"], "No such file"),
        (["lipschitz_of_mine:net", "--out", "nowhere/a.png"], "nowhere"),
    ],
)
def test_bad_lines_end_in_one_sentence(mine, capsys, words, reason):
    assert run(*words) == 2
    said = capsys.readouterr()
    assert reason in " ".join(said.err.split())
    assert said.err.startswith("momlp: error:")
    assert said.out == ""


def test_figures_are_drawn():
    for caption, draw in FIGURES.values():
        figure = draw()
        assert caption
        assert figure.axes


def test_cells_in_the_figure_are_the_table_s():
    assert "74 cells of a 2-5-5-5-1" in FIGURES["lipschitz_expressiveness_cells.png"][0]
    assert list(table_networks())[3].name == "2-5-5-5-1"
    assert tent_map(5)[0].in_features == 1
