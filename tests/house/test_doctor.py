"""The doctor notices a package that shadows ours."""

import re
import tomllib
from pathlib import Path

from theory import doctor

ROOT = Path(__file__).parents[2]


def test_our_packages_are_recognised():
    assert all(f.good for f in doctor.examine())


def test_a_shadowing_package_is_named(tmp_path):
    (tmp_path / "theory").mkdir()
    finding = doctor._in_checkout("theory", tmp_path / "theory", Path(doctor.__file__).parent.parent)
    assert not finding.good
    assert "another package has this name" in finding.detail


def test_a_checkout_of_something_else_is_named(tmp_path):
    (tmp_path / "theory").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert not doctor._in_checkout("theory", tmp_path / "theory", tmp_path).good


class FakeWheel:
    """A distribution whose files sit in `root`."""

    def __init__(self, root, hash_value):
        self.root, self.hash_value = root, hash_value

    def locate_file(self, name):
        return self.root / name

    @property
    def files(self):
        class Entry(type(Path())):
            pass

        entry = Entry("theory/a.py")
        entry.hash = type("H", (), {"mode": "sha256", "value": self.hash_value})()
        entry.locate = lambda: self.root / "theory" / "a.py"
        return [entry]


def test_a_changed_file_of_a_wheel_is_named(tmp_path, monkeypatch):
    (tmp_path / "theory").mkdir()
    (tmp_path / "theory" / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(doctor.metadata, "packages_distributions", lambda: {"theory": ["momlp"]})
    wrong = "0" * 43
    assert not doctor._in_wheel(FakeWheel(tmp_path, wrong), "theory", (tmp_path / "theory").resolve()).good
    import base64
    import hashlib

    digest = hashlib.sha256(b"x = 1\n").digest()
    right = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert doctor._in_wheel(FakeWheel(tmp_path, right), "theory", (tmp_path / "theory").resolve()).good


def test_a_foreign_owner_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.metadata, "packages_distributions", lambda: {"theory": ["other"]})
    finding = doctor._in_wheel(FakeWheel(tmp_path, ""), "theory", tmp_path / "theory")
    assert not finding.good
    assert "other" in finding.detail


def test_every_requirement_of_the_project_is_looked_at():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[A-Za-z0-9._-]+", line)[0] for line in project["dependencies"]]
    assert sorted(doctor.required()) == sorted(names)
    assert {"torch", "scikit-learn"} <= set(names)
    assert {finding.name for finding in doctor.examine()} >= set(names)


def test_a_package_that_is_missing_is_wrong(monkeypatch):
    monkeypatch.setattr(doctor, "required", lambda: ["numpy", "no-such-package"])
    found = {finding.name: finding for finding in doctor.examine()}
    assert found["numpy"].good
    assert (found["no-such-package"].good, found["no-such-package"].detail) == (False, "not installed")
