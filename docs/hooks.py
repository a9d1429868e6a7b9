"""What the site has besides pages written by hand: the API of every room, the changelog, a check of all links."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
ROOMS = ("constructions", "theory")


def exported(package: str) -> dict[str, str]:
    """Where each name of `__all__` of a package is defined, read from its file and not imported."""
    tree = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    places, names = {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            places |= {(alias.asname or alias.name): f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
    return {name: places.get(name, f"{package}.{name}") for name in sorted(names, key=str.lower)}


def rooms() -> dict[str, dict[str, str]]:
    """What is exported, by package: the two rooms themselves, then every system that exports something."""
    systems = sorted(p.parent.name for p in (ROOT / "constructions").glob("*/__init__.py"))
    found = {name: exported(name) for name in (*ROOMS, *(f"constructions.{name}" for name in systems))}
    return {name: names for name, names in found.items() if names}


def page(package: str, names: dict[str, str]) -> str:
    """The page of the API of a package, in Markdown."""
    blocks = "\n\n".join(f"## {name}\n\n::: {place}" for name, place in names.items())
    return f"# {package}\n\n{blocks}\n"


def on_files(files, config):
    for package, names in rooms().items():
        files.append(File.generated(config, f"api/{package}.md", content=page(package, names)))
    changes = ROOT / "CHANGELOG.md"
    if changes.exists():
        files.append(File.generated(config, "changelog.md", content=changes.read_text(encoding="utf-8")))
    return files


def on_page_content(html, page, config, files):
    """Notebooks link to docs/x.md and to each other as they lie in the checkout."""
    if not page.file.src_uri.startswith("notebooks/"):
        return html
    html = re.sub(r'href="\.\./docs/(\w+)\.md(#[^"]*)?"', r'href="../../\1/\2"', html)
    return re.sub(r'href="(\w+)\.ipynb"', r'href="../\1/"', html)


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for key, value in attrs if key in ("href", "src") and value]


def broken_links(site: Path) -> list[str]:
    """ "page: link" of every link inside of the site that leads nowhere."""
    broken = []
    for path in sorted(site.glob("**/*.html")):
        links = _Links()
        links.feed(path.read_text(encoding="utf-8"))
        for link in links.found:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not parts.path or path.name == "404.html":
                continue
            target = path.parent / unquote(parts.path)
            if not (target / "index.html" if link.split("#")[0].endswith("/") else target).exists():
                broken.append(f"{path.relative_to(site)}: {link}")
    return broken


def on_post_build(config):
    broken = broken_links(Path(config["site_dir"]))
    if broken:
        raise PluginError("links that lead nowhere:\n" + "\n".join(broken))
