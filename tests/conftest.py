"""Shared settings: hypothesis repeats the same examples everywhere, GPU tests are skipped without a CUDA device.

Shared fixtures: `verdict_of`; `start_ranks`; `device`, a CUDA device and the pretended one of `tests/house`; `sim`, the
latter alone.
"""

import os
import pickle
import subprocess
import sys
import textwrap
from functools import cache

import pytest
import torch
from hypothesis import settings

from tests.dear import DEAR
from tests.house import pretend_accelerator
from theory.claim import Context
from theory.systems import REGISTRY
from theory.torchrun import alone, free_port

# here and not in a fixture: autograd counts the devices once, at the process's first backward pass, and the targets
# that test modules make on import need gradients
pretend_accelerator.register()

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the workers share the cores already

settings.register_profile("momlp", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("momlp")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items):
    dear = tuple(f"tests/{line}" for line in DEAR)
    for item in items:
        if item.nodeid.startswith(dear):
            item.add_marker(pytest.mark.slow)
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def verdict_of(tmp_path_factory):
    """Claim id -> its verdict in the quick budget, reached once for all tests of all processes of a run."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "verdicts"
    shared.mkdir(exist_ok=True)

    @cache
    def verdict(key):
        path = shared / f"{key}.pickle"
        if not path.exists():
            draft = shared / f"{key}.{os.getpid()}"
            draft.write_bytes(pickle.dumps(REGISTRY[key].verdict(Context())))
            draft.replace(path)
        return pickle.loads(path.read_bytes())

    return verdict


@pytest.fixture
def sim():
    """The pretended device."""
    if not pretend_accelerator.AVAILABLE:
        pytest.skip("this torch has no Python backend for devices")
    with pretend_accelerator.patched_factories() as place:
        yield place


@pytest.fixture(params=["sim", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """A device that is not the CPU: the pretended one, and CUDA where there is one."""
    return request.getfixturevalue("sim") if request.param == "sim" else torch.device("cuda")


@pytest.fixture
def start_ranks():
    """(script, world) -> processes running `script` as ranks, without torchrun: nobody tidies up after a dead one."""
    started = []

    def start(script, world):
        common = alone() | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world)}
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(script)],
                env=common | {"RANK": str(r), "LOCAL_RANK": str(r)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for r in range(world)
        ]
        started.extend(processes)
        return processes

    yield start
    for process in started:
        process.kill()
        process.wait()
