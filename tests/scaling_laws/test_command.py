"""`momlp scaling fit`: tables as people have them, what is said, what is refused, and when the exit code is 1."""

import json
import math

import pytest
import torch

from constructions.scaling_laws import ScalingLaw
from constructions.scaling_laws.table import read_table
from theory import cli, systems
from theory.cli import GENERAL

LAW = ScalingLaw((8.0, 4.0), (0.5, 1.0), 0.02, chance=1.0)
N, M = (64, 128, 256, 512, 1024, 2048), (4, 8, 16, 32)


def rows(noise=0.02, seeds=2):
    drawn = torch.Generator().manual_seed(0)
    found = []
    for n in N:
        for m in M:
            for seed in range(seeds):
                error = float(LAW(torch.tensor([[n, m]], dtype=torch.float64)))
                found.append((n, m, error * math.exp(noise * float(torch.randn(1, generator=drawn))), seed))
    return found


@pytest.fixture
def table(tmp_path):
    def write(text=None, *, header="n,m,error,seed", body=None, name="runs.csv"):
        path = tmp_path / name
        lines = body if body is not None else [f"{n},{m},{e:.6f},{s}" for n, m, e, s in rows()]
        path.write_text(text if text is not None else "\n".join([header, *lines]) + "\n", encoding="utf-8")
        return path

    return write


def run(capsys, *words):
    code = cli.main(["scaling", "fit", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err.replace("\n", " ")


def answer(capsys, *words):
    code, said, _ = run(capsys, *words, "--json")
    return code, json.loads(said)


# --- what is said ----------------------------------------------------------------------------------------


def test_everything_in_words(capsys, table, tmp_path):
    drawn = tmp_path / "runs.png"
    words = [
        "--chance",
        1,
        "--group",
        "seed",
        "--largest",
        "n>512",
        "--target",
        0.1,
        "--target",
        0.001,
        "--plot",
        drawn,
    ]
    code, said, _ = run(capsys, table(), *words)
    assert code == 0
    for part in ("32 points fitted", "error = 1·u/√(1 + u²), u = ", "exponent of m", "held-out: 16 points, mean ",
                 "held-out, last value: 16 points", "held-out, no constant: 16 points",
                 "predicted error at n=1024, m=64: ",
                 "predicted error at n=5120, m=320: ", "for 0.1, the least product: n = ",
                 "warning: intervals rest on 2 groups"):  # fmt: skip
        assert part in said, part
    assert drawn.read_bytes()[:4] == b"\x89PNG"


def test_the_numbers_are_those_of_the_law(capsys, table):
    code, said = answer(capsys, table(), "--sizes", "n,m", "--chance", 1, "--at", "m=64,n=4096", "--target", 0.2)
    assert code == 0
    constants = [part["value"] for part in said["law"].values()]
    law = ScalingLaw(tuple(constants[:-1:2]), tuple(constants[1:-1:2]), constants[-1], 1.0)
    [row] = said["predictions"]
    assert row["sizes"] == {"n": 4096, "m": 64}
    assert row["error"] == pytest.approx(float(law(torch.tensor([[4096.0, 64.0]], dtype=torch.float64))), rel=1e-9)
    assert row["interval"][0] < row["error"] < row["interval"][1]
    assert row["beyond"] == pytest.approx(2)
    [needed] = said["targets"]
    assert needed["needed"]["n"]["value"] == pytest.approx(law.needed(0, 0.2, {1: 32.0}), rel=1e-9)
    assert [part["value"] for part in needed["cheapest"].values()] == pytest.approx(law.cheapest(0.2), rel=1e-9)
    assert said["chance"] == 1.0
    assert said["floor"]["value"] == pytest.approx(law.floor)
    for name, part in said["law"].items():
        assert part["interval"][0] <= part["value"] <= part["interval"][1], name


def test_a_target_below_the_floor_is_unreachable(capsys, table):
    path = table(header="n,error", body=[f"{2**k},{0.1 + 2 ** (-0.5 * k)}" for k in range(1, 14)])
    code, said, _ = run(capsys, path, "--target", 0.05, "--target", 0.11)
    assert code == 0
    assert "for 0.05: unreachable: floor 0.1 [0.1, 0.1]" in said
    assert "for 0.11: n = 10000 [1e+04, 1e+04]" in said


def test_chance_makes_the_envelope(capsys, table):
    path = table()
    with_it, without = (answer(capsys, path, *more, "--sizes", "n,m")[1] for more in (["--chance", 1], []))
    assert without["chance"] == "inf"
    off = [abs(float(found["law"]["exponent of m"]["value"]) - 1) for found in (with_it, without)]
    assert off[0] < 0.1 < off[1]


def test_the_short_name_is_the_system(capsys, table):
    path = str(table())
    outputs = []
    for name in ("scaling", "scaling_laws"):
        assert cli.main([name, "fit", path, "--chance", "1", "--sizes", "n,m"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "scaling_laws (scaling)" in capsys.readouterr().out
    assert systems.select(["scaling"]) == systems.select(["scaling_laws"])


def test_short_names_are_nobody_elses():
    short = [about.short for about in map(systems.system, systems.NAMES) if about.short]
    flat = {verb.flat for verbs in systems.commands().values() for verb in verbs.values()}
    assert len(set(short)) == len(short)
    assert not set(short) & {*systems.NAMES, *systems.FORMER, *GENERAL, *flat}


def test_the_split_is_by_the_sizes(capsys, table):
    _, said = answer(capsys, table(), "--sizes", "n,m", "--chance", 1, "--largest", "n>512")
    assert said["points"] == 32  # 512 itself is fitted
    assert said["held_out"]["law"]["points"] == 16
    _, said = answer(capsys, table(), "--sizes", "n,m", "--chance", 1, "--hold-out", 0.25)
    assert (said["points"], said["held_out"]["law"]["points"]) == (36, 12)


def test_a_curve_that_ends_flat_gets_exit_code_1(capsys, table):
    curve = [f"{n},{max(n**-0.5, 32**-0.5)}" for n in (2**k for k in range(1, 10))]
    code, said = answer(capsys, table(header="n,error", body=curve), "--largest", "n>32")
    assert code == 1
    assert said["held_out"]["last value"]["mean_abs"] == pytest.approx(0, abs=1e-12)
    assert said["held_out"]["law"]["mean_abs"] > 0.1


def test_pure_curves_warn_that_no_floor_was_seen(capsys, table):
    path = table(header="n,error", body=[f"{2**k},{2 ** (-0.4 * k)}" for k in range(2, 12)])
    _, said = answer(capsys, path, "--at", "n=1e6")
    assert any(w.startswith("C is 0: no floor was seen") for w in said["warnings"])
    assert any("times beyond what was fitted" in w for w in said["warnings"])
    _, said = answer(capsys, path, "--no-constant")
    assert said["law"]["constant"]["value"] == 0
    assert not any("no floor" in w for w in said["warnings"])


# --- tables as people have them --------------------------------------------------------------------------


def test_tables_of_other_kinds_say_the_same(capsys, table):
    plain = answer(capsys, table(), "--sizes", "n,m", "--resamples", 0)[1]
    lines = [f"{n},{m},{e:.6f},{s}" for n, m, e, s in rows()]
    others = {
        "marked": table("\ufeffn,m,error,seed\r\n" + "\r\n".join(lines), name="a.csv"),
        "tabs": table("n\tm\terror\tseed\n" + "\n".join(lines).replace(",", "\t"), name="b.csv"),
        "blank": table("\n\nn, m , error,seed\n\n" + "\n\n".join(lines) + "\n , , ,\n\n", name="c.csv"),
        "quoted": table('"n","m","error","seed"\n' + "\n".join(f'"{x}"' for x in lines).replace(",", '","'), name="d"),
        "case": table("N,M,Error,Seed\n" + "\n".join(lines), name="e.csv"),
        "empty": table("n,m,error,seed\n" + "\n".join([*lines, "64,4,,0", "64,,0.5,1", "64,4,NaN,1"]), name="f.csv"),
        "order": table("note,error,seed,m,n\n" + "\n".join(
            f"x,{e},{s},{m},{n}" for n, m, e, s in (line.split(",") for line in lines)), name="g.csv"),
    }  # fmt: skip
    for kind, path in others.items():
        said = answer(capsys, path, "--sizes", "n,m", "--resamples", 0)[1]
        values, expected = ([part["value"] for part in found["law"].values()] for found in (said, plain))
        assert values == pytest.approx(expected, rel=1e-9), kind
        assert any("3 rows with an empty cell left out (line 50, 51, 52)" in w for w in said["warnings"]) == (
            kind == "empty"
        )


def test_rows_given_twice_weigh_twice(capsys, table):
    body = [f"{n},{m},{e:.6f}" for n, m, e, _ in rows()]
    one, two = (answer(capsys, table(header="n,m,error", body=b, name=f"{len(b)}.csv"), "--resamples", 0)[1]
                for b in (body, body * 2))  # fmt: skip
    assert two["points"] == 2 * one["points"]
    assert two["law"]["constant"]["value"] == pytest.approx(one["law"]["constant"]["value"], rel=1e-6)


def test_a_hundred_thousand_rows_are_read(tmp_path):
    path = tmp_path / "many.csv"
    path.write_text("n,error\n" + "".join(f"{k},{k**-0.5:.9f}\n" for k in range(1, 100_001)), encoding="utf-8")
    found = read_table(path)
    assert len(found) == 100_000
    assert found.numbers("n")[-1] == 100_000
    assert found.lines[-1] == 100_001


GOOD = "\n".join(f"{n},{n**-0.5:.6f}" for n in (2**k for k in range(1, 10)))


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("", [], "must be a CSV file with a header and rows, it has 0 lines that are not blank"),
        ("n,error\n", [], "it has 1 lines that are not blank"),
        (GOOD, [], "the first line must be a header with names, got '2,0.707107'"),
        ("n,loss\n" + GOOD, [], "`--error` must be a column of .*, which has n, loss; got 'error'"),
        ("n,error\n" + GOOD, ["--sizes", "m"], "`--sizes` must be a column of .*, which has n, error; got 'm'"),
        ("n,error\n" + GOOD, ["--group", "g"], "`--group` must be a column of .*, which has n, error; got 'g'"),
        ("n,error\n" + GOOD, ["--sizes", "n,n"], "`--sizes` must name 1 to 4 columns .*, got n, n"),
        ("n,error\n" + GOOD, ["--sizes", "error"], "`--sizes` must name 1 to 4 columns .*, got error"),
        ("x,error\na,0.5\nb,0.4\n", [], "`--sizes` must name 1 to 4 columns .*, got no column"),
        ("n,n,error\n1,2,3\n", [], "the header must name every column once, got 'n' twice"),
        ("n,error\n2,0.5\n4\n", [], "line 3: a row must have 2 cells as the header, got 1 cell"),
        ("n,error\n2,0.5\n4,low\n", ["--sizes", "n"], "line 3: `error` must be a number, got 'low'"),
        ("n,error\n" + GOOD + "\n10k,0.01", ["--sizes", "n"], "line 11: `n` must be a number, got '10k'"),
        ("n,error\n" + GOOD + "\n1024,0", [], "line 11: `error` must be a positive finite number, got 0"),
        ("n,error\n" + GOOD + "\n1024,inf", [], "line 11: `error` must be a positive finite number, got inf"),
        ("n,error\n" + GOOD + "\n-1,0.1", [], "line 11: `n` must be a positive finite number, got -1"),
        ("n,error\n" + GOOD, ["--chance", "0.5"], "line 2: `error` must be .* below --chance = 0.5, got 0.707"),
        ("n,error\n" + GOOD, ["--chance", "nan"], "`--chance` must be a positive number, or inf"),
        ("n,error\n2,.5\n4,.4\n8,.3\n", [], "`--sizes` must have at least 4 different points to fit 3"),
        ("n,m,error\n" + GOOD.replace(",", ",7,"), [], "axis m has 1 distinct value; its exponent cannot be fitted"),
        ("n,error\n10,.5\n11,.4\n12,.3\n13,.2\n", [], "axis n spans a factor of 1.3; its exponent cannot be fitted"),
        ("n,error\n" + GOOD, ["--hold-out", "1.5"], "`--hold-out` must be between 0 and 1, got 1.5"),
        ("n,error\n" + GOOD, ["--hold-out", "0.9"], "`--sizes` must have at least 4 different points"),
        ("n,error\n" + GOOD, ["--largest", "n>9999"], "`--largest` must hold out a point, none is beyond n>9999"),
        ("n,error\n" + GOOD, ["--largest", "m>9"], "`--largest` must be COL>VALUE with a size of n, got 'm>9'"),
        ("n,error\n" + GOOD, ["--largest", "n>0"], "`--hold-out` must leave points to fit, got all 9"),
        ("n,error\n" + GOOD, ["--at", "m=9"], "`--at` must be n=…, got 'm=9'"),
        ("n,error\n" + GOOD, ["--at", "n=big"], "`--at` must hold numbers, got 'n=big'"),
        ("n,error\n" + GOOD, ["--target", "-1"], "`--target` must be a positive finite number, got -1.0"),
        ("n,error\n" + GOOD, ["--target", "0.9", "--chance", "0.8"], "`--target` must be below --chance = 0.8"),
    ],
)  # fmt: skip
def test_what_it_refuses(capsys, table, text, words, reason):
    import re

    code, said, error = run(capsys, table(text), *words)
    assert code == 2
    assert said == ""
    assert re.search(reason, error), error


def test_files_that_are_no_tables(capsys, tmp_path):
    path = tmp_path / "runs.csv"
    for raw in (b"\xff\xfe\x00n", b'n,error\n"2,0.5\n', b"n,error\n\x00,1\n1,2"):
        path.write_bytes(raw)
        code, _, error = run(capsys, path)
        assert code == 2
        assert error.startswith("momlp: error: ")
    for wrong in (tmp_path, tmp_path / "none.csv"):
        assert run(capsys, wrong)[0] == 2


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ([0.5, 0.45, 0.46, 0.4, 0.41, 0.38, 0.39, 0.35, 0.36, 0.3], "along `n` 4 of 9 steps go up"),
        ([0.5 - 0.001 * k for k in range(10)], "along `n` the last error is 0.98 of the first"),
    ],
)
def test_errors_that_do_not_decrease_are_refused(capsys, table, errors, reason):
    path = table(header="n,error", body=[f"{2**k},{e}" for k, e in enumerate(errors)])
    code, _, error = run(capsys, path)
    assert code == 2
    assert f"the errors do not decrease: {reason}; repeating the last value was the better predictor" in error
    assert "(shared data: .0226 against .0330)" in error
    code, said = answer(capsys, path, "--force")
    assert code == 0
    assert f"the errors do not decrease: {reason}" in said["warnings"]


def test_held_out_errors_do_not_count_as_rising(capsys, table):
    body = [f"{2**k},{2 ** (-0.5 * min(k, 12 - k))}" for k in range(1, 12)]
    path = table(header="n,error", body=body)
    assert run(capsys, path)[0] == 2
    code, said = answer(capsys, path, "--largest", "n>64")
    assert code == 1
    assert said["held_out"]["law"]["points"] == 5


def test_shuffled_sizes_are_refused(capsys, table):
    order = torch.randperm(48, generator=torch.Generator().manual_seed(1)).tolist()
    found = rows()
    body = [f"{n},{m},{found[i][2]:.6f},{s}" for (n, m, _, s), i in zip(found, order, strict=True)]
    code, _, error = run(capsys, table(body=body), "--sizes", "n,m", "--chance", 1)
    assert code == 2
    assert "steps go up" in error


# --- nyquist ---------------------------------------------------------------------------------------------


def test_nyquist_says_what_samples_determine(capsys):
    assert cli.main(["scaling", "nyquist", "--bandwidth", "3", "--samples", "0", "6", "7", "14"]) == 0
    said = capsys.readouterr().out
    assert "D = 7 samples determine" in said
    for row in (
        ("0", "1", "1 = 1", "-"),
        ("6", "1", "1/7 = 0.142857", "-"),
        ("7", "0", "0 = 0", "1"),
        ("14", "0", "0 = 0", "0.5"),
    ):
        assert any([cell.strip() for cell in line.strip("│").split("│")] == list(row) for line in said.splitlines()), (
            row
        )
    assert cli.main(["scaling", "nyquist", "--bandwidth", "2", "--dimension", "2"]) == 0
    assert "D = 25 samples" in capsys.readouterr().out
    assert cli.main(["scaling", "nyquist", "--bandwidth", "-1"]) == 2
