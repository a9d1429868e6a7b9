"""Stored shattered sets for tests: what a file holds, and a file that holds something else."""

import json

from safetensors import safe_open
from safetensors.torch import save_file

from theory.vc_dimension.checkers.file import KEY


def contents(path):
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()[KEY])
        return spec, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def written(path, spec, tensors):
    spec = {name: value for name, value in spec.items() if name != "root"}
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path, metadata={KEY: json.dumps(spec)})
    return path
