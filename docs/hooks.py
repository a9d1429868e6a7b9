"""Pages of the site that follow from the code: one of the API for every room, with all that it exports, and the changelog."""

from __future__ import annotations

import ast
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
ROOMS = ("constructions", "theory")


def exported(init: Path) -> list[str]:
    """`__all__` of a package, read and not imported."""
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return sorted(ast.literal_eval(node.value), key=str.lower)
    return []


def rooms() -> dict[str, list[str]]:
    """Exported names by package: the two rooms themselves, then every system that exports something."""
    inits = [ROOT / room / "__init__.py" for room in ROOMS]
    inits += sorted((ROOT / "constructions").glob("*/__init__.py"))
    found = {".".join(i.parent.relative_to(ROOT).parts): exported(i) for i in inits}
    return {name: names for name, names in found.items() if names}


def page(package: str, names: list[str]) -> str:
    blocks = "\n\n".join(f"::: {package}.{name}" for name in names)
    return f"# {package}\n\n{blocks}\n"


def on_files(files, config):
    for package, names in rooms().items():
        files.append(File.generated(config, f"api/{package}.md", content=page(package, names)))
    changes = ROOT / "CHANGELOG.md"
    if changes.exists():
        files.append(File.generated(config, "changelog.md", content=changes.read_text(encoding="utf-8")))
    return files
