"""What the documents say can be typed and followed: commands parse, links lead somewhere, Python blocks run."""

import re
import shlex
from pathlib import Path

import pytest

from theory import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in PAGES}


def commands():
    for name, text in TEXTS.items():
        for line in re.findall(r"^ {4,}momlp (.*)$", text, flags=re.MULTILINE):
            bare = re.sub(r"\s#.*|\[[^\[\]]*(\[[^\]]*\])?[^\[\]]*…?\](?![\";])| > \S+", "", line)
            yield pytest.param(bare, id=f"{name}: {bare[:50]}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_parse(line):
    args = cli._parser().parse_args(shlex.split(line))
    assert callable(args.action)


def test_there_are_commands_and_brackets_are_options():
    lines = [p.values[0] for p in commands()]
    assert len(lines) > 25
    assert any(line.startswith("verify") for line in lines)


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    for link in re.findall(r"\]\(([^)#]+)\)", TEXTS[name]):
        if not link.startswith("http"):
            assert ((ROOT / name).parent / link).exists(), link


def blocks():
    for name, text in TEXTS.items():
        for i, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)):
            yield pytest.param(block, id=f"{name}: {i}")


@pytest.mark.parametrize("block", list(blocks()))
def test_python_blocks_run(block, capsys):
    """And print what their comments say: `print(…)  # 17799`."""
    exec(compile(block, "block", "exec"), {})
    said = capsys.readouterr().out.split("\n")
    for promised in re.findall(r"^print\(.*\)  # ([0-9A-Z]\S*)", block, flags=re.MULTILINE):
        assert promised.rstrip(",") in said
