"""Bitwise statements hold in every environment: threads, torch's kernels and MKL's are chosen from outside."""

import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("bitwise_quantities.py")
CAPABILITIES = ("DEFAULT", "AVX2", "AVX512")
HERE = torch.backends.cpu.get_cpu_capability()
# what the processor does not have would not run; MKL heeds an upper limit only
POSSIBLE = CAPABILITIES[: CAPABILITIES.index(HERE) + 1] if HERE in CAPABILITIES else (HERE,)
INSTRUCTIONS = ("SSE4_2", "AVX2", "AVX512")


def run(threads, capability, instructions):
    # threads that wait without spinning leave a busy machine to the others
    chosen = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "MKL_ENABLE_INSTRUCTIONS": instructions}
    if capability in CAPABILITIES:
        chosen["ATEN_CPU_CAPABILITY"] = capability.lower()
    environment = os.environ | chosen | {"PYTHONPATH": str(SCRIPT.parents[2])}
    done = subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["threads"], found["capability"]) == (threads, capability)
    return found["quantities"]


def disagreeing(quantities):
    """The quantities whose ways have more than one digest."""
    return {name: ways for name, ways in quantities.items() if len(set(ways.values())) != 1}


def anywhere(quantities):
    return {name: next(iter(ways.values())) for name, ways in quantities.items() if name.startswith("anywhere: ")}


def require_agreement(environments):
    with ThreadPoolExecutor(2) as both:
        found = dict(zip(environments, both.map(lambda chosen: run(*chosen), environments), strict=True))
    first = anywhere(found[environments[0]])
    for environment, quantities in found.items():
        assert len(quantities) >= 18
        assert disagreeing(quantities) == {}, environment
        assert anywhere(quantities) == first, environment


def test_every_bitwise_statement_in_three_environments():
    least, middle, best = POSSIBLE[0], POSSIBLE[len(POSSIBLE) // 2], POSSIBLE[-1]
    require_agreement([(1, least, "SSE4_2"), (2, middle, "AVX2"), (2, best, "AVX512")])


@pytest.mark.slow
def test_every_bitwise_statement_in_all_environments():
    require_agreement(list(itertools.product((1, 2), POSSIBLE, INSTRUCTIONS)))


def test_negative_control_one_unit_in_the_last_place(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from bitwise_quantities import digest

    y = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    off = y.clone()
    off[17] = torch.nextafter(off[17], off.new_tensor(2.0))
    ways = {"whole": digest(y), "in parts": digest(torch.cat(y.split(7)))}
    assert disagreeing({"y": ways}) == {}
    assert list(disagreeing({"y": ways | {"lazy": digest(off)}})) == ["y"]
    assert list(disagreeing({"y": ways | {"lazy": digest(-0.0 * y)}, "z": ways})) == ["y"]
