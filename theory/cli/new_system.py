"""The verb new-system: write a new system into a checkout, a small worked example to replace step by step."""

from __future__ import annotations

import argparse
import keyword
import re
import sys
import tomllib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from constructions.files import write_whole
from theory.command import out

TEMPLATES = Path(__file__).parents[1] / "templates" / "new_system"
NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
FILES = {
    "constructions.py.j2": "constructions/{name}.py",
    "system.py.j2": "theory/{name}/__init__.py",
    "claims.py.j2": "theory/{name}/claims.py",
    "examples.py.j2": "theory/{name}/examples.py",
    "reproductions.py.j2": "theory/{name}/reproductions.py",
    "checkers.py.j2": "theory/{name}/checkers.py",
    "test_objects.py.j2": "tests/{name}/test_objects.py",
    "test_checkers.py.j2": "tests/{name}/test_checkers.py",
    "test_claims.py.j2": "tests/{name}/test_claims.py",
    "docs.md.j2": "docs/{name}.md",
    "notebook.ipynb.j2": "notebooks/{number:02d}_{name}.ipynb",
}
LAST_OF_NAMES = re.compile(r"(NAMES = \(\n(?:    \"\w+\",\n)+)(\))")


def add_new_system(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", help="lower case, a name for Python: my_theorem")
    sub.add_argument("--title", help="a line about it (default: the name in words)")


def run_new_system(args: argparse.Namespace) -> int:
    root = Path.cwd()
    _require_checkout(root)
    good = NAME.fullmatch(args.name) and not keyword.iskeyword(args.name)
    if not good or args.name in sys.stdlib_module_names:
        raise ValueError(f"`name` must be a lower-case Python name of 2 to 40 characters, got {args.name!r}")
    title = args.title or args.name.replace("_", " ").capitalize()
    if not title.isprintable() or any(c in title for c in '"\\'):
        raise ValueError(f"`--title` must be one printable line without quotes and backslashes, got {title!r}")
    names = root / "theory" / "systems.py"
    source = names.read_text(encoding="utf-8")
    found = LAST_OF_NAMES.search(source)
    if found is None:
        raise ValueError(f"{names} has no list NAMES to add {args.name} to")
    places = {t: root / p.format(name=args.name, number=found[1].count(",") + 1) for t, p in FILES.items()}
    taken = [
        p for p in (root / "constructions" / args.name, root / "theory" / args.name, *places.values()) if p.exists()
    ]
    if taken:
        raise ValueError(f"`name` must be new, {taken[0].relative_to(root)} exists")
    environment = Environment(loader=FileSystemLoader(TEMPLATES), keep_trailing_newline=True, autoescape=False)
    for template, place in places.items():
        text = environment.get_template(template).render(name=args.name, title=title)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, lambda draft, text=text: draft.write_text(text, encoding="utf-8"))
        out.print(f"written: {place.relative_to(root)}", highlight=False)
    added = f'{found[1]}    "{args.name}",\n{found[2]}'
    write_whole(names, lambda draft: draft.write_text(source.replace(found[0], added), encoding="utf-8"))
    out.print("added to theory/systems.py, NAMES")
    out.print(f"next: momlp verify {args.name}; pytest tests/{args.name} tests/house/test_systems.py", highlight=False)
    return 0


def _require_checkout(root: Path) -> None:
    project = root / "pyproject.toml"
    name = (
        tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("name") if project.is_file() else ""
    )
    if name != "momlp":
        raise ValueError(f"a new system is written into a checkout of momlp, {root} is none")
