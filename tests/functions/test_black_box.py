"""Functions of numpy arrays and of single points: values, counts, memories and files, workers, and what is refused."""

import copy
import math
import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

from constructions import LipschitzFunction, ModulusViolation, StoreError, build_momlp, plan
from constructions.functions.black_box import known_points
from constructions.functions.black_box.known_points import KnownPoints, distinct
from constructions.functions.black_box.value_file import ValueFile
from theory import Evidence, Status, certify_uniform_error, evaluations_to_certify

LAM = 1.2


def of_arrays(x):
    return np.sin(3 * x[:, 0]) / 3 + x[:, 1] / 2


def of_points(p):
    return math.sin(3 * p[0]) / 3 + p[1] / 2


def two_of_points(p):
    return [math.sin(p[0]), p[1]]


def black_box(fn=of_arrays, **options):
    return LipschitzFunction.from_numpy(fn, **{"n": 2, "lipschitz": LAM, "vectorized": fn is of_arrays, **options})


def points(count, seed=0):
    return torch.rand(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- values and certificates ------------------------------------------------------------------------------


@pytest.mark.parametrize("fn", [of_arrays, of_points])
@pytest.mark.parametrize("method", ["a_priori", "branch_and_bound"])
def test_both_forms_certify_like_a_function_of_tensors(fn, method):
    f = black_box(fn)
    model = build_momlp(f, eps=0.05)
    mine = certify_uniform_error(model, f, eps=0.05, method=method, samples=500)
    same = LipschitzFunction(lambda x: torch.sin(3 * x[:, 0]) / 3 + x[:, 1] / 2, n=2, lipschitz=LAM)
    other = certify_uniform_error(model, same, eps=0.05, method=method, samples=500)
    assert (mine.status, mine.evidence) == (Status.CERTIFIED, Evidence.FLOAT64)
    assert abs(mine.upper - other.upper) <= 1e-14
    assert 0 < mine.lower <= mine.upper <= 0.05


def test_bit_extraction_certifies_by_simplices_and_any_model_by_samples():
    f = black_box()
    model = build_momlp(f, eps=0.3, expert="bit_extraction", resolved=2)
    assert certify_uniform_error(model, f, eps=0.3, samples=500).status is Status.CERTIFIED
    assert certify_uniform_error(model, f, eps=0.3, method="sampled", samples=500).status is Status.NOT_REFUTED


def test_a_model_of_another_function_is_refuted():
    model = build_momlp(black_box(), eps=0.05)
    shifted = black_box(lambda x: of_arrays(x) + 0.2, vectorized=True)
    for method in ("a_priori", "branch_and_bound", "sampled"):
        assert certify_uniform_error(model, shifted, eps=0.05, method=method, samples=500).status is Status.REFUTED


def test_a_modulus_that_is_a_lie_is_found_while_building():
    with pytest.raises(ModulusViolation, match="of_points"):
        build_momlp(black_box(of_points, lipschitz=0.5), eps=0.05)


def test_shapes_dtypes_and_outputs():
    x = points(7)
    assert black_box()(x).shape == (7, 1)
    assert black_box(lambda x: of_arrays(x)[:, None], vectorized=True)(x).tolist() == black_box()(x).tolist()
    assert black_box()(x.float()).dtype == torch.float32
    assert black_box()(x[:0]).shape == (0, 1)
    assert black_box(two_of_points, m=2)(x).tolist() == [two_of_points(p) for p in x.tolist()]
    assert black_box(lambda x: np.rint(x[:, 0]).astype(int), vectorized=True)(x).tolist() == x[:, :1].round().tolist()
    batches = []
    black_box(lambda x: batches.append(len(x)) or of_arrays(x), vectorized=True, batch=3)(x)
    assert batches == [3, 3, 1]


def test_a_call_that_costs_the_same_for_all_points_is_made_once():
    calls = []

    def slow(x):
        calls.append(len(x))
        time.sleep(0.3)
        return of_arrays(x)

    black_box(slow, vectorized=True)(points(5000))
    assert calls == [5000]


def test_a_slow_first_call_does_not_make_all_others_small():
    f = black_box(lambda p: time.sleep(0.3 * (not f.black_box.counts.evaluated)) or of_points(p), vectorized=False)
    f(points(100))
    assert f.black_box._quickest < 0.1


def test_copies_are_the_function_itself():
    f = black_box(lambda x: of_arrays(x), vectorized=True)
    assert copy.deepcopy(f) is copy.copy(f) is f
    model = copy.deepcopy(build_momlp(f, eps=0.2))
    assert model.target is f


def test_a_function_may_write_into_its_argument():
    def careless(p):
        p[:] = 0.0
        return 1.0

    x = points(5)
    before = x.clone()
    assert black_box(careless)(x).unique().tolist() == [1.0]
    assert torch.equal(x, before)


@pytest.mark.gpu
def test_on_a_device():
    x = points(5).cuda()
    assert black_box()(x).device == x.device


def test_on_the_pretended_device(sim):
    x = points(5)
    y = black_box()(x.to(sim))
    assert y.device.type == sim.type
    assert torch.equal(y.cpu(), black_box()(x))


# --- counts ---------------------------------------------------------------------------------------------

KINDS = [{}, {"expert": "constant"}, {"expert": "bit_extraction", "resolved": 2}, {"expert": "bit_extraction"}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [1, 2])
def test_building_asks_as_often_as_the_plan_says(kind, m):
    fn = of_arrays if m == 1 else lambda x: np.stack([of_arrays(x), x[:, 0]], 1)
    f = black_box(fn, m=m, vectorized=True)
    p = plan(f, 0.1, **kind)
    build_momlp(f, eps=0.1, **kind)
    assert f.black_box.counts.asked == p.evaluations(f)


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_without_a_declared_modulus_is_asked_at_the_nodes_alone(kind):
    f = LipschitzFunction.from_sympy("sin(3*x0)/3 + x1/2", n=2)
    p = plan(f, 0.1, **kind)
    assert p.evaluations(f) == p.leaves * p.nodes
    assert p.evaluations(black_box()) > p.evaluations(f)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cache", [False, True])
def test_certifying_asks_as_often_as_it_is_foreseen(kind, cache):
    f = black_box(cache=cache)
    model = build_momlp(f, eps=0.3, **kind)
    methods = ["simplices"] if "resolved" in kind or kind.get("expert") == "bit_extraction" else ["a_priori"]
    for method in [*methods, "sampled"]:
        foreseen = evaluations_to_certify(model.plan, f, method=method, samples=300)
        assert foreseen.least == foreseen.most
        own = f if not cache else black_box(cache=True)
        before = own.black_box.counts.evaluated
        certify_uniform_error(model, own, eps=0.3, method=method, samples=300)
        asked = own.black_box.counts.evaluated - before
        assert asked == foreseen.most if not cache else 0.9 * foreseen.most <= asked <= foreseen.most


@pytest.mark.parametrize("kind", KINDS[:2])
def test_branch_and_bound_asks_at_least_as_often_as_it_is_foreseen(kind):
    f = black_box()
    model = build_momlp(f, eps=0.1, **kind)
    foreseen = evaluations_to_certify(model.plan, f)
    before = f.black_box.counts.evaluated
    certify_uniform_error(model, f, eps=0.1)
    assert foreseen.most is None
    assert foreseen.least <= f.black_box.counts.evaluated - before <= 2 * foreseen.least
    assert foreseen.seconds(1e-3, workers=2) == foreseen.least * 1e-3 / 2


def test_evaluations_that_cannot_be_foreseen_are_refused():
    p = plan(black_box(), 0.1, expert="bit_extraction")
    with pytest.raises(ValueError, match="`method` must be simplices or sampled"):
        evaluations_to_certify(p, black_box(), method="a_priori")


def test_counts_of_a_memory():
    f = black_box(of_points)
    x = points(200)
    f(torch.cat([x, x]))  # asked twice in one batch: called once
    c = f.black_box.counts
    assert (c.asked, c.known, c.evaluated, c.compared) == (400, 0, 200, 0)
    f(x)
    assert (c.asked, c.known, c.evaluated, c.compared) == (600, 200, 200, 4)
    assert c.seconds > 0
    assert c.seconds_per_call == c.seconds / 204


# --- memory ---------------------------------------------------------------------------------------------


def test_known_points_agree_with_a_dictionary():
    source, known, truth = np.random.default_rng(0), KnownPoints(2, 1, 1 << 20), {}
    for _ in range(60):
        x = source.integers(0, 40, (int(source.integers(1, 50)), 2)) / 7.0
        values, mask = known.find(x)
        for point, value, there in zip(x, values, mask, strict=True):
            assert there == (tuple(point) in truth)
            assert not there or value[0] == truth[tuple(point)]
        rows, place = distinct(x)
        assert (x[rows][place] == x).all()
        assert len(rows) == len({tuple(p) for p in x})
        new = [r for r in rows if tuple(x[r]) not in truth]
        known.add(x[new], x[new].sum(1, keepdims=True))
        truth.update({tuple(x[r]): x[r].sum() for r in new})
    assert known.count == len(truth) > 500


def test_points_of_one_hash_are_never_taken_for_each_other(monkeypatch):
    monkeypatch.setattr(known_points, "_hashes", lambda x: np.zeros(len(x), dtype=np.uint64))
    f = black_box(of_points)
    x = points(20)
    for _ in range(2):
        assert f(torch.cat([x, x])).flatten().tolist() == [of_points(p) for p in x.tolist()] * 2


def test_zeros_of_both_signs_differ():
    f = black_box(lambda p: math.copysign(1.0, p[0]), lipschitz=9.0)
    assert f.evaluate(torch.tensor([[0.0, 0.0], [-0.0, 0.0]], dtype=torch.float64)).flatten().tolist() == [1.0, -1.0]


def test_a_memory_that_is_full_forgets_and_still_answers():
    f = black_box(of_points, cache_bytes=40 * 10)
    x = points(50)
    assert torch.equal(f(x), f(x))
    assert f.black_box.counts.known == 10


# --- files ----------------------------------------------------------------------------------------------


def test_a_file_saves_every_call(tmp_path):
    file = tmp_path / "answers.db"
    first = black_box(of_points, cache=file)
    model = build_momlp(first, eps=0.1)
    again = black_box(of_points, cache=str(file))
    same = build_momlp(again, eps=0.1)
    counts = again.black_box.counts
    assert (counts.evaluated, counts.read) == (0, first.black_box.counts.evaluated)
    assert torch.equal(same.out_weight, model.out_weight)
    certificate = certify_uniform_error(model, again, eps=0.1, method="a_priori", samples=100)
    (modulus,) = [p for p in certificate.premises if p.name == "modulus"]
    assert f"{counts.read} values of fn from {file}" in modulus.detail


def test_nothing_is_lost_when_fn_is_interrupted_or_fails(tmp_path):
    for error in (KeyboardInterrupt(), RuntimeError("the licence server is gone")):
        calls, file = [], tmp_path / type(error).__name__

        def fails(p, calls=calls, error=error):
            if len(calls) == 37:
                raise error
            calls.append(p.tolist())
            return of_points(p)

        with pytest.raises((KeyboardInterrupt, ValueError)) as caught:
            build_momlp(black_box(fails, cache=file), eps=0.1)
        assert sum(len(x) for x, _ in ValueFile(file, 2, 1).read()) == 37
        assert isinstance(caught.value, KeyboardInterrupt) or "at x = [" in str(caught.value)
        f = black_box(of_points, cache=file)
        build_momlp(f, eps=0.1)
        assert f.black_box.counts.read == 37


SIMULATOR = """
    import os, time
    from constructions import LipschitzFunction

    def slow(p):
        time.sleep(0.002)
        with open("calls", "a") as file:
            file.write("x")
        return 0.5 * p[0] - 0.3 * p[1]

    f = LipschitzFunction.from_numpy(slow, n=2, lipschitz=0.6, vectorized=False, workers=int(os.environ["WORKERS"]))
"""


def _heeds_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in the background of a shell begins by ignoring it


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_and_the_command_again(tmp_path, workers):
    (tmp_path / "simulator.py").write_text(textwrap.dedent(SIMULATOR))
    calls = tmp_path / "calls"
    command = [sys.executable, "-m", "theory", "build", "--function", "simulator:f", "--eps", "0.03"]
    command += ["--cache", "answers.db", "--out", "model"]
    environment = os.environ | {"WORKERS": str(workers), "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_heeds_ctrl_c
    )
    for _ in range(6000):
        if process.poll() is not None or (calls.exists() and calls.stat().st_size > 100):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    made = calls.stat().st_size
    kept = sum(len(x) for x, _ in ValueFile(tmp_path / "answers.db", 2, 1).read())
    # one call may be under way; of each worker what it was handed, a fifth of a second of calls
    assert made - (1 if workers == 1 else 2 * 2 * 100) <= kept <= made
    assert kept > 0
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"{kept} answers read" in done.stdout
    assert (tmp_path / "model").exists()


def test_another_function_s_file_is_noticed(tmp_path):
    file = tmp_path / "answers.db"
    build_momlp(black_box(of_points, cache=file), eps=0.1)
    changed = black_box(lambda p: of_points(p) + 1e-6, cache=file)
    with pytest.raises(ValueError, match=r"`fn` must always answer the same: .* where fn was changed, name a new file"):
        build_momlp(changed, eps=0.1)


def test_a_function_that_answers_differently_is_none():
    source = random.Random(0)
    noisy = black_box(lambda p: of_points(p) + 1e-6 * source.random(), lipschitz=2.0)
    with pytest.raises(ValueError, match="`fn` must always answer the same: at x"):
        certify_uniform_error(build_momlp(black_box(), eps=0.1), noisy, eps=0.2, samples=100)


def test_files_that_are_something_else(tmp_path):
    words, foreign, folder = tmp_path / "words", tmp_path / "foreign.db", tmp_path / "folder"
    words.write_text("not a database, and longer than a header of one would be" * 40)
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE mine (a)")
    database.close()
    folder.mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in (words, foreign):
        before = path.read_bytes()
        with pytest.raises((ValueError, StoreError), match=r"`cache` .* is no file of values"):
            black_box(of_points, cache=path)(points(3))
        assert path.read_bytes() == before
    for path in (folder, tmp_path / "pipe", tmp_path / "nowhere" / "file"):
        with pytest.raises(OSError, match=r"cannot (read|write)"):
            black_box(of_points, cache=path)
    mine = tmp_path / "mine.db"
    black_box(of_points, cache=mine)(points(3))
    other = LipschitzFunction.from_numpy(lambda p: p[0], n=3, lipschitz=1, vectorized=False, cache=mine)
    with pytest.raises(ValueError, match=r"`cache` .* must hold values of .*'n': '3'"):
        other(torch.rand(2, 3, dtype=torch.float64))


def test_what_is_no_number_is_not_kept(tmp_path):
    f = black_box(lambda p: math.nan if p[0] > 0.5 else 1.0, cache=tmp_path / "answers")
    x = points(50)
    with pytest.raises(ValueError, match=r"must be finite, got \[nan\] at x"):
        f(x)
    stored = np.concatenate([y for _, y in ValueFile(tmp_path / "answers", 2, 1).read()])
    assert 0 < len(stored) < 50
    assert (stored == 1.0).all()


# --- workers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["threads", "processes"])
@pytest.mark.parametrize("fn", [of_arrays, of_points])
def test_workers_answer_as_one_does(pool, fn):
    shift = 0.25
    f = black_box(
        lambda x: fn(x) + shift,
        vectorized=fn is of_arrays,
        workers=2,
        pool=pool,
        batch=50,  # a closure travels, too
    )
    alone = black_box(lambda x: fn(x) + shift, vectorized=fn is of_arrays, batch=50)
    x = points(333)
    assert torch.equal(f(x), alone(x))
    assert f.black_box.counts.evaluated == 333


def test_a_worker_s_error_names_the_point():
    class Peculiar(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def fails(p):
        if p[0] > 0.9:
            raise Peculiar(1, 2)
        return 1.0

    f = black_box(fails, workers=2)
    with pytest.raises(ValueError, match=r"`fn` \(fails\) failed .*at x = \[0.9.*Peculiar: 1 and 2"):
        f(points(100))


def test_what_cannot_be_sent_is_said():
    import threading

    lock = threading.Lock()

    def locked(p):
        with lock:
            return 1.0

    with pytest.raises(ValueError, match="cannot be sent to other processes, use pool='threads'"):
        black_box(locked, workers=2)(points(10))
    assert black_box(locked, workers=2, pool="threads")(points(10)).tolist() == [[1.0]] * 10


# --- refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"vectorized": 1}, "`vectorized` must be True or False"),
        ({"workers": 0}, "`workers` must be an integer between 1"),
        ({"pool": "cloud"}, "`pool` must be one of processes, threads"),
        ({"batch": 0}, "`batch` must be an integer at least 1"),
        ({"cache": 3}, "`cache` must be a path"),
        ({"cache_bytes": -1}, "`cache_bytes` must be an integer at least 0"),
        ({"m": 0}, "`m` must be an integer at least 1"),
        ({"lipschitz": None}, "exactly one of `lipschitz` and `modulus`"),
    ],
)
def test_wrong_arguments(wrong, words):
    with pytest.raises((TypeError, ValueError), match=words):
        black_box(**wrong)


@pytest.mark.parametrize(
    ("fn", "vectorized", "words"),
    [
        (lambda x: x, True, r"numbers of shape \(5,\) or \(5, 1\) for 5 points, got float64 \(5, 2\)"),
        (lambda p: 1.0, True, "needs vectorized=False"),
        (lambda p: p, False, "must return a number for one point"),
        (lambda p: "1.0", False, "must return a number for one point"),
        (lambda p: 1j, False, "must return a number for one point"),
        (lambda p: None, False, "must return a number for one point"),
        (lambda p: 1 / 0, False, "ZeroDivisionError"),
    ],
)
def test_functions_that_answer_something_else(fn, vectorized, words):
    f = black_box(fn, vectorized=vectorized)
    with pytest.raises(ValueError, match=words):
        f(points(5))


def test_gradients_are_refused():
    with pytest.raises(ValueError, match="has no gradient"):
        black_box()(points(3).requires_grad_())
    with torch.no_grad():
        assert black_box()(points(3).requires_grad_()).shape == (3, 1)


def test_only_black_boxes_have_files(tmp_path):
    with pytest.raises(ValueError, match=r"`cache` needs a function made by LipschitzFunction\.from_numpy"):
        LipschitzFunction.from_sympy("x0", n=1).cached_in(tmp_path / "file")
    f = black_box(of_points, m=1).cached_in(tmp_path / "file")
    assert (f.n, f.modulus.lam, f.black_box.vectorized) == (2, LAM, False)


# --- pickles --------------------------------------------------------------------------------------------


def test_functions_of_modules_pickle_with_all_that_they_know():
    f = pickle.loads(pickle.dumps(black_box(of_points)))
    assert torch.equal(f(points(5)), black_box(of_points)(points(5)))
    formula = pickle.loads(pickle.dumps(LipschitzFunction.from_sympy("sin(x0)*x1", n=2)))
    assert formula.premise == "certified"
    model = pickle.loads(pickle.dumps(build_momlp(black_box(of_points), eps=0.1)))
    assert torch.equal(model(points(5)), build_momlp(black_box(of_points), eps=0.1)(points(5)))


@pytest.mark.parametrize("lazy", [False, True])
def test_a_lambda_says_why_it_does_not_pickle(lazy):
    for f in (black_box(lambda p: 1.0, vectorized=False), LipschitzFunction(lambda x: x[:, :1], n=2, lipschitz=1)):
        for thing in (f, build_momlp(f, eps=0.5, lazy=lazy)):
            with pytest.raises(pickle.PicklingError, match="`fn` must be a function that pickle finds by its name"):
                pickle.dumps(thing)
