"""Shared settings: hypothesis repeats the same examples everywhere, GPU tests are skipped without a CUDA device."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("momlp", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("momlp")


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
