"""Are the imported packages ours, of one version, and is the environment fit? `theory` and `constructions` are generic
names.

A wheel is checked through the installed RECORD (its hashes), an editable install through `direct_url.json`, a plain
checkout through the pyproject.toml beside the packages.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import platform
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

import torch

import theory
from constructions.version import __version__

PACKAGES = ("constructions", "theory", "momlp")
DISTRIBUTION = "momlp"
NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Finding:
    name: str
    good: bool
    detail: str


def examine() -> list[Finding]:
    """All findings, the environment's first."""
    return [*_environment(), *_identity()]


def _environment() -> Iterator[Finding]:
    yield Finding("python", True, platform.python_version())
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    yield Finding("torch", True, f"{torch.__version__}, {cuda}, {torch.get_num_threads()} threads")
    for name in required():
        if name == "torch":
            continue  # its line is above
        try:
            yield Finding(name, True, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, False, "not installed")


def required() -> list[str]:
    """Names of the packages that momlp needs, as its own metadata says: of the distribution, or of the checkout."""
    try:
        listed = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        project = Path(theory.__file__ or "").resolve().parents[1] / "pyproject.toml"
        listed = (
            tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"] if project.is_file() else []
        )
    return [NAME.match(line)[0] for line in listed if "extra ==" not in line]  # pyright: ignore[reportOptionalSubscript]


def _identity() -> Iterator[Finding]:
    places = {name: Path(importlib.import_module(name).__file__ or "").resolve().parent for name in PACKAGES}
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield from (_in_checkout(name, place, place.parent) for name, place in places.items())
        return
    yield _one_version(distribution.version)
    editable = _editable_root(distribution)
    for name, place in places.items():
        if editable is not None:
            yield _in_checkout(name, place, editable)
        else:
            yield _in_wheel(distribution, name, place)


def _one_version(installed: str) -> Finding:
    same = installed == __version__
    return Finding("version", same, __version__ if same else f"{__version__}, installed as {installed}: install again")


def _editable_root(distribution: metadata.Distribution) -> Path | None:
    text = distribution.read_text("direct_url.json")
    origin = json.loads(text) if text else {}
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlparse(origin["url"]).path)).resolve()


def _in_checkout(name: str, place: Path, root: Path) -> Finding:
    project = root / "pyproject.toml"
    ours = (
        place == root / name
        and project.is_file()
        and tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("name") == DISTRIBUTION
    )
    detail = (
        f"{place} belongs to the checkout" if ours else f"{place} shadows {root / name}: another package has this name"
    )
    return Finding(name, ours, detail)


def _in_wheel(distribution: metadata.Distribution, name: str, place: Path) -> Finding:
    owners = metadata.packages_distributions().get(name, [])
    if DISTRIBUTION not in owners or place != Path(str(distribution.locate_file(name))).resolve():
        return Finding(name, False, f"{place} is not momlp's: another package has this name ({owners or 'unknown'})")
    changed = []
    for file in distribution.files or []:
        if file.parts[0] == name and file.hash is not None:
            digest = hashlib.new(file.hash.mode, Path(str(file.locate())).read_bytes()).digest()
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
                changed.append(str(file))
    if changed or set(owners) != {DISTRIBUTION}:
        return Finding(
            name, False, f"{len(changed)} files differ from the wheel's RECORD {changed[:3]}, owners {owners}"
        )
    return Finding(name, True, f"{place}, every file as in the wheel's RECORD")
