"""What an explanation is: look-ups, stable order, JSON, HTML, pictures and their numbers."""

import json
import math
import re

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from constructions import InteractionValues as Exported
from constructions.shapley_interactions import (
    InteractionValues,
    KernelSHAPIQ,
    SumOfUnanimity,
    TableGame,
    explain,
    shapley_interactions,
)
from tests.shapley_interactions.by_definition import as_tensor, largest_gap, seeded

TABLE = [3, 4, 5, 8, 7, 8, 9, 18]  # three players, baseline 3: 0, 1, 3; 5, 3, 3


def found(names=("a", "b <i>", "$c"), **options):
    game = TableGame(as_tensor(TABLE))
    values = explain(game, **options)
    return InteractionValues(**{k: getattr(values, k) for k in values.__dataclass_fields__} | {"names": names})


def test_looking_up():
    values = found()
    assert Exported is InteractionValues
    assert (values.n, values.max_order, values.index, values.outputs, values.how) == (3, 2, "k-SII", 1, "exact")
    assert values[()] == 3
    assert [values[i] for i in range(3)] == pytest.approx([0, 1, 3], abs=1e-14)
    assert values[(2, 0)] == values[(0, 2)] == pytest.approx(3)
    assert list(values.values) == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    assert values.sets(2).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert float(values.total) == pytest.approx(15)
    assert (values.sums, values.sum_error) == (True, pytest.approx(0, abs=1e-15))
    for wrong in (True, 1.0, np.int64(1), (0, True), (0, 1.0), "a", [0, 1], None):
        with pytest.raises(TypeError, match="`players` must be an int or a tuple of ints, got "):
            values[wrong]
    for wrong in (3, (0, 0), (0, 1, 2), (-1,)):
        with pytest.raises(KeyError, match="`players` must be at most 2 different integers between 0 and 2"):
            values[wrong]
    with pytest.raises(ValueError, match="`k` must be an integer between 1 and 2, got 3"):
        values.order(3)


def test_sums_of_the_indices():
    """Only an index that adds up has a sum check."""
    assert [found(index=i, order=o).sums for i, o in (("SII", 2), ("SII", 1), ("SV", 1), ("Moebius", 2))] == [
        False,
        True,
        True,
        False,
    ]
    whole = found(index="Moebius", order=3)
    assert (whole.sums, whole.sum_error) == (True, 0)
    assert found(index="SII").sum_error is None
    broken = found()
    broken.orders[0][0] += 0.5
    assert broken.sum_error == pytest.approx(0.5 / 18)
    tiny = explain(TableGame(as_tensor(TABLE) * 1e-12 - 3e-12))
    tiny.orders[0][0] += 15e-12  # twice the sum
    assert tiny.sum_error == pytest.approx(0.5)
    assert explain(TableGame(torch.zeros(8))).sum_error == 0
    between = torch.tensor([0, 1e12, -3e12, 7e11, 0.3e12, 2e12, 5e12, 0], dtype=torch.float64)
    assert explain(TableGame(between)).sum_error < 1e-14


def test_the_order_is_stable():
    """By absolute value; of equal ones the smaller and earlier first."""
    values = torch.tensor([1.0, -2, 1, 0]), torch.tensor([2.0, -1, 1, 2, 0, 1])
    zero = torch.tensor(0.0)
    ties = InteractionValues(4, "SII", values, zero, zero, exact=True, evaluations=16)
    expected = [(1,), (0, 1), (1, 2), (0,), (2,), (0, 2), (0, 3), (2, 3), (3,), (1, 3)]
    assert [i.players for i in ties.top(10)] == expected
    assert [i.players for i in ties.top(3)] == expected[:3]
    assert [i.players for i in ties.top(100)] == expected
    assert ties.top(1)[0].names == ("1",)


@pytest.mark.parametrize("options", [{}, {"order": 3, "index": "SII"}, {"index": "SV"}])
def test_json_there_and_back(options):
    values = found(**options)
    text = values.to_json()
    back = InteractionValues.from_json(text)
    assert back.to_json() == text
    assert largest_gap(back, values) == 0
    content = json.loads(text)
    assert content["players"] == ["a", "b <i>", "$c"]
    assert content["exact"] is True
    assert len(content["interactions"]) == sum(math.comb(3, k) for k in range(1, values.max_order + 1))


def test_json_of_estimates_and_of_several_outputs():
    game = SumOfUnanimity(8, 20, seeded())
    sampled = explain(game, budget=100, repeats=3)
    back = InteractionValues.from_json(sampled.to_json())
    assert (back.exact, back.budget, back.evaluations) == (False, 100, sampled.evaluations)
    assert torch.equal(back.errors[1], sampled.errors[1])
    two = explain(TableGame(torch.randn(16, 2, generator=seeded(), dtype=torch.float64)))
    assert largest_gap(InteractionValues.from_json(two.to_json()), two) == 0
    for text in ("", "{}", "[1]", two.to_json().replace("0,", "1,", 3), sampled.to_json()[:-9]):
        with pytest.raises(ValueError, match="`text` must be what to_json wrote"):
            InteractionValues.from_json(text)


WRITTEN = json.loads(found().to_json())
SCRATCHED = [
    ({"exact": "no"}, "`exact` must be True or False, got 'no'"),
    ({"exact": 1}, "`exact` must be True or False, got 1"),
    ({"rank_deficient": None}, "`rank_deficient` must be True or False"),
    ({"schema": 99}, "schema must be 1, got 99"),
    ({"schema": True}, "schema must be an integer at least 0, got True"),
    ({"baseline": math.nan}, "baseline must hold finite numbers, got nan"),
    ({"prediction": math.inf}, "prediction must hold finite numbers, got inf"),
    ({"baseline": True}, "baseline must hold finite numbers, got True"),
    ({"evaluations": -3}, "evaluations must be an integer at least 0, got -3"),
    ({"budget": 2.5}, "budget must be an integer at least 0, got 2.5"),
    ({"players": "abc"}, "players and interactions must be lists"),
    ({"players": [1, 2, 3]}, "`names` must be 3 strings, got [1, 2, 3]"),
    ({"interactions": []}, "players and interactions must be lists"),
    ({"interactions": [{"players": [], "value": 1}]}, "`orders` must be a tuple of 1 to 3 tensors"),
    (
        {"interactions": [{"players": [0], "value": math.nan}, *WRITTEN["interactions"][1:]]},
        "value must hold finite numbers, got [nan, ",
    ),
    (
        {"interactions": [{"players": [0], "value": 1, "error": 0.1}, *WRITTEN["interactions"][1:]]},
        "some of the interactions have an error",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), SCRATCHED)
def test_json_that_was_scratched(changes, sentence):
    with pytest.raises(ValueError, match=r"`text` must be what to_json wrote \(.*" + re.escape(sentence)):
        InteractionValues.from_json(json.dumps(WRITTEN | changes))


def test_json_without_a_bottom():
    for text in ("[" * 100_000, json.dumps(WRITTEN).replace('"baseline": 3.0', '"baseline": ' + "[" * 900 + "]" * 900)):
        with pytest.raises(ValueError, match="`text` must be what to_json wrote"):
            InteractionValues.from_json(text)


def test_values_too_large_to_be_subtracted():
    with pytest.raises(ValueError, match=re.escape("`game` must have values whose differences are finite in")):
        shapley_interactions(TableGame(as_tensor([-1.7e308, 1.7e308])), 1)
    wide = TableGame(as_tensor([-1.7e308, *([0] * 30), 1.7e308]))
    with pytest.raises(ValueError, match=re.escape("`game` must have values whose differences are finite in")):
        KernelSHAPIQ(5, 1).estimate(wide, 20)


def test_html():
    page = found()._repr_html_()
    assert "b &lt;i&gt;" in page
    assert "<i>" not in page
    assert "k-SII of order 2, exact: baseline 3, prediction 18" in page
    assert page.count("<tr>") == 6
    assert "and 26 more" in explain(SumOfUnanimity(8, 9, seeded()))._repr_html_()
    two = explain(TableGame(torch.zeros(4, 2)))
    assert ".output(j)" in two._repr_html_()


def test_one_of_several_outputs():
    table = torch.randn(16, 2, generator=seeded(), dtype=torch.float64)
    two = explain(TableGame(table))
    assert (two.outputs, two[(0, 1)].shape) == (2, (2,))
    assert largest_gap(two.output(1), explain(TableGame(table[:, 1].clone()))) < 1e-13
    with pytest.raises(ValueError, match="`j` must be an integer between 0 and 1, got 2"):
        two.output(2)
    for call in (two.top, two.plot_bar, two.plot_network, two.plot_upset, two.plot_force):
        with pytest.raises(ValueError, match=re.escape("`output` must be chosen first, by .output(j)")):
            call()


# --- pictures -----------------------------------------------------------------------------------------------


def test_bars_are_the_largest():
    axes, drawn = found().plot_bar(count=3)
    assert [name for name, _ in drawn] == ["a × b <i>", r"\$c", r"a × \$c"]
    assert [patch.get_width() for patch in axes.patches] == pytest.approx([5, 3, 3])
    assert [label.get_text() for label in axes.get_yticklabels()] == [name for name, _ in drawn]
    colours = explain(SumOfUnanimity(6, 9, seeded())).plot_bar()
    for patch, (_, value) in zip(colours[0].patches, colours[1], strict=True):
        assert (patch.get_facecolor() == colours[0].patches[0].get_facecolor()) == (value * colours[1][0][1] > 0)


def test_bars_show_standard_errors():
    axes, _ = explain(SumOfUnanimity(8, 20, seeded()), budget=100, repeats=3).plot_bar(count=4)
    assert len(axes.containers) == 2  # bars and their errors


def test_the_way_to_the_prediction():
    """Every step starts where the one before ended; the last ends at the prediction."""
    values = explain(SumOfUnanimity(6, 9, seeded()))
    axes, drawn = values.plot_force(count=4)
    assert (drawn[0], drawn[-1][0]) == (("baseline", 0.0), "prediction")
    assert drawn[-2][0] == "17 others"
    assert drawn[-1][1] == pytest.approx(float(values.prediction))
    at = 0.0
    for patch, (_, value) in zip(axes.patches, drawn[1:-1], strict=True):
        assert (patch.get_x(), patch.get_x() + patch.get_width()) == pytest.approx((at, at + value))
        at += value
    with pytest.raises(ValueError, match="`index` must add up to be drawn as a way to the prediction, SII does not"):
        found(index="SII").plot_force()


def test_the_network_has_an_edge_a_pair_and_a_face_a_triple():
    values = found(order=3, index="SII")
    axes, drawn = values.plot_network()
    assert [len(axes.lines), len(axes.patches), len(drawn)] == [3, 1, 7]
    widths = sorted(line.get_linewidth() for line in axes.lines)
    assert widths[0] == widths[1] < widths[2]
    few, _ = values.plot_network(count=2)
    assert len(few.lines) + len(few.patches) == 2
    nothing, _ = explain(TableGame(torch.zeros(8))).plot_network()
    assert len(nothing.lines) == 0


def test_upset_dots_are_the_members():
    axes, drawn = found().plot_upset(count=4)
    bars, dots = axes.child_axes
    assert [patch.get_height() for patch in bars.patches] == pytest.approx([v for _, v in drawn])
    assert [line.get_ydata().tolist() for line in dots.lines] == [[0, 1], [2], [0, 2], [1, 2]]
    assert [label.get_text() for label in dots.get_yticklabels()] == ["a", "b <i>", r"\$c"]


@pytest.mark.parametrize("name", ["bar", "network", "upset", "force"])
def test_pictures_can_be_drawn_on_given_axes(name, tmp_path):
    figure = Figure()
    axes = figure.subplots()
    values = found()
    assert getattr(values, f"plot_{name}")(axes)[0] is axes
    figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000
    with pytest.raises(TypeError, match="`axes` must be a Axes, got int"):
        getattr(values, f"plot_{name}")(3)
    with pytest.raises(ValueError, match="`count` must be an integer at least 1, got 0"):
        getattr(values, f"plot_{name}")(count=0)


def test_shapes_that_disagree_are_refused():
    zero = torch.tensor(0.0)
    with pytest.raises(ValueError, match=re.escape("`orders` must have shape (3,) at order 1, got (2,)")):
        InteractionValues(3, "SII", (torch.zeros(2),), zero, zero, exact=True, evaluations=8)
    with pytest.raises(ValueError, match=re.escape("`orders` must have shape (3, 2) at order 1, got (3,)")):
        InteractionValues(3, "SII", (torch.zeros(3),), torch.zeros(2), torch.zeros(2), exact=True, evaluations=8)
    with pytest.raises(ValueError, match="`names` must be 3 strings"):
        found(names=("a",))
