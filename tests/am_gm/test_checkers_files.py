"""Files that are none, were tampered with, or come from another program: only the numbers count."""

import hashlib
import json
import os
import random
from fractions import Fraction

import pytest

from constructions.am_gm import certificate, certificate_path
from constructions.errors import BudgetExceeded, StoreError
from theory.am_gm.checkers import verify_certificate, verify_text
from theory.am_gm.checkers.reading import MOST_BYTES, read_text

NAME = "n3m3_upper"


def text_of(name=NAME):
    return certificate_path(name).read_text()


def fields(name=NAME):
    return json.loads(text_of(name))


def refused(data, match, kind=StoreError):
    text = data if isinstance(data, (str, bytes)) else json.dumps(data)
    with pytest.raises(kind, match=match):
        verify_text(text)


# --- the format -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": "momlp-amgm"}, r'format must be "momlp-amgm-sos", version 1, got \'momlp-amgm\''),
        ({"format": None}, r"format must be"),
        ({"version": 2}, r"version 2"),
        ({"version": True}, r"version True"),
        ({"version": 1.0}, r"version 1\.0"),
        ({"version": "1"}, r"version '1'"),
        ({"n": 10, "m": 3}, r"`n` must be an integer between 1 and 9, got 10"),
        ({"n": 0}, r"`n` must be an integer between 1 and 9, got 0"),
        ({"n": True}, r"`n` must be an integer between 1 and 9, got True"),
        ({"n": 3.0}, r"`n` must be an integer between 1 and 9, got 3\.0"),
        ({"n": "3"}, r"`n` must be an integer"),
        ({"m": 4}, r"`m` must be an integer between 1 and 3, got 4"),
        ({"m": 0}, r"`m` must be an integer between 1 and 3, got 0"),
        ({"m": [3]}, r"`m` must be an integer"),
        ({"side": "both"}, r'`side` must be "upper" or "lower", got \'both\''),
        ({"side": 1}, r"`side` must be"),
        ({"side": ["upper"]}, r"`side` must be"),
        ({"bound": 6}, r'`bound` must be a string "p" or "p/q"'),
        ({"bound": "6.0"}, r"`bound` must be a string"),
        ({"bound": "6e0"}, r"`bound` must be a string"),
        ({"bound": "6/0"}, r"`bound` has the denominator 0"),
        ({"bound": "nan"}, r"`bound` must be a string"),
        ({"bound": "inf"}, r"`bound` must be a string"),
        ({"bound": ""}, r"`bound` must be a string"),
        ({"bound": " 6"}, r"`bound` must be a string"),
        ({"bound": "6/-1"}, r"`bound` must be a string"),
        ({"bound": "٦"}, r"`bound` must be a string"),
        ({"bound": "6_0"}, r"`bound` must be a string"),
        ({"H": {}}, r"`H` must be a list of \[u, v, value\], got dict"),
        ({"G": None}, r"`G` must be a list of \[u, v, value\], got NoneType"),
        ({"H": [["", ""]]}, r"`H` must hold lists \[u, v, value\]"),
        ({"H": ["abc"]}, r"`H` must hold lists \[u, v, value\]"),
        ({"H": []}, r"`H` lacks the orbit of \(\"\", \"\"\): an orbit is missing"),
    ],
    ids=str,
)
def test_wrong_fields(change, match):
    refused(fields() | change, match)


@pytest.mark.parametrize("key", ["format", "version", "n", "m", "side", "bound", "H", "G"])
def test_missing_fields(key):
    data = fields()
    del data[key]
    refused(data, f"`{key}`|format must be")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (["0", "2", "1"], r'`G` has \("0", "2"\), which is not the first pair of its orbit'),
        (["1", "0", "1"], r'`G` has \("1", "0"\), which is not the first pair of its orbit'),
        (["2", "2", "1"], r'`G` has \("2", "2"\), which is not'),
        (["1", "2", "1"], r'`G` gives the orbit of \("1", "2"\) twice'),
        (["1", "3", "1"], r"`G` must have words of the letters 0 to 2, got '3'"),
        (["", "01", "1"], r"`G` must have words of at most 1 letters, got '01'"),
        (["", "a", "1"], r"`G` must have words of the letters 0 to 2, got 'a'"),
        (["", "²", "1"], r"`G` must have words of the letters"),
        (["", 0, "1"], r"`G` must have words of the letters"),
        (["", "0", "1", "1"], r"`G` must hold lists"),
        (["1", "1", None], r"the orbit of|must be a string"),
    ],
    ids=str,
)
def test_wrong_rows(row, match):
    data = fields()
    data["G"].append(row)
    refused(data, match)


@pytest.mark.parametrize(
    "value", ["1/0", "0/0", "-1/0", "1e3", "NaN", "Infinity", "0x1", "--1", "1/2/3", "", "½", 1.5, 2, None]
)
def test_wrong_values(value):
    data = fields()
    data["H"][1][2] = value
    refused(data, r'denominator 0|must be a string "p" or "p/q" of integers')


def test_deleted_and_doubled_orbits():
    for name in ("H", "G"):
        for place in range(len(fields()[name])):
            data = fields()
            u, v, _ = data[name].pop(place)
            refused(data, rf'`{name}` lacks the orbit of \("{u}", "{v}"\): an orbit is missing')
            data = fields()
            data[name].append(data[name][place])
            refused(data, rf'`{name}` gives the orbit of \("{u}", "{v}"\) twice')


def test_numbers_that_would_take_hours():
    data = fields()
    data["H"][0][2] = "1" * 301
    refused(data, "more than 300 digits", BudgetExceeded)
    data["H"][0][2] = "1/" + "9" * 5000
    refused(data, "more than 300 digits", BudgetExceeded)
    data = fields("n4m4_upper")
    for i, row in enumerate(data["G"]):
        row[2] = f"1/{2**900 + 2 * i + 1}"
    refused(data, "common denominator has more than 8192 bits", BudgetExceeded)
    data = fields("n6m5_upper")
    for i, row in enumerate(data["G"]):
        row[2] = f"1/{2**132 + 2 * i + 1}"
    refused(data, r"matrices of 43 rows with entries of \d+ bits would take hours", BudgetExceeded)
    rows = [["", "", "1"]]
    refused(fields() | {"n": 9, "m": 8, "H": rows, "G": rows}, "7381 words are too many", BudgetExceeded)
    refused(text_of() + " " * MOST_BYTES, "more than 1048576 bytes", BudgetExceeded)


def test_text_that_is_no_json_object():
    for text in ("", "[]", "null", '"momlp-amgm-sos"', text_of()[:-3], text_of()[1:], "{" * 100_000, "[" * 100_000):
        refused(text, r"not JSON|must be an object|nested too deeply")
    refused(text_of().replace('"n": 3', '"n": NaN'), "NaN, which is no number")
    refused(text_of().replace('"n": 3', '"n": -Infinity'), "-Infinity, which is no number")
    refused(text_of().replace('"n": 3', '"n": ' + "9" * 5000), "not JSON|between 1 and 9")
    refused(text_of().replace('"n": 3', '"n": 4, "n": 3'), "gives a key twice")
    refused(text_of().encode("utf-16"), "not UTF-8|not JSON")
    refused(b"\xef\xbb\xbf" + text_of().encode(), "not JSON")
    refused(b"\xff" + text_of().encode(), r"not UTF-8 \(byte 0\)")
    with pytest.raises(TypeError, match="`text` must be a str or bytes, got NoneType"):
        verify_text(None)


def test_every_truncation_is_refused():
    data = text_of().rstrip().encode()
    for end in range(len(data)):
        refused(data[:end], r"not JSON|not UTF-8")


def test_changed_characters_prove_nothing_else():
    """Whatever one character is changed to: refused, rejected, or the same numbers as before."""
    source, text = random.Random(0), text_of()
    before, outcomes = read_text(text.encode()), {"refused": 0, "rejected": 0, "same": 0}
    for _ in range(1500):
        place, new = source.randrange(len(text)), source.choice('0123456789-/"[]{},: \\eul\n')
        changed = text[:place] + new + text[place + 1 :]
        try:
            report = verify_text(changed)
        except ValueError:
            outcomes["refused"] += 1
            continue
        outcomes["rejected" if not report.holds else "same"] += 1
        assert not report.holds or read_text(changed.encode()) == before
    assert min(outcomes.values()) > 50, outcomes


# --- other programs -------------------------------------------------------------------------------------


def test_order_spaces_and_unreduced_fractions_do_not_matter():
    source = random.Random(0)
    for name in ("n3m3_upper", "n4m4_lower"):
        data = fields(name)
        for part in ("H", "G"):
            source.shuffle(data[part])
            for row in data[part]:
                value, factor = Fraction(row[2]), source.randint(2, 10**9)
                row[2] = f"{value.numerator * factor}/{value.denominator * factor}"
        data |= {"bound": f"{3 * int(data['bound'])}/3", "comment": "by another program", "margin": 0.25}
        keys = list(data)
        source.shuffle(keys)
        for options in ({}, {"indent": 4}, {"separators": (",", ":")}):
            report = verify_text(json.dumps({key: data[key] for key in keys}, **options))
            assert report.holds, report.failure
            assert report.proves_inequality


def test_zero_has_many_names():
    data = fields("n2m2_upper")
    assert all(Fraction(row[2]) for row in data["H"] + data["G"])
    for zero in ("0", "-0", "0/7", "000", "-0/1"):
        changed = fields("n2m2_upper")
        changed["H"][1][2] = zero
        assert verify_text(json.dumps(changed)).mismatches > 0


# --- files ----------------------------------------------------------------------------------------------


def test_files_that_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    for path in (
        "/dev/zero",
        "/dev/null",
        tmp_path,
        *(tmp_path / name for name in ("fifo", "loop", "nowhere", "missing")),
    ):
        with pytest.raises(OSError, match="cannot read"):
            verify_certificate(path)
    for path in (None, 3, b"x", ["x"]):
        with pytest.raises(TypeError, match="must be a path"):
            verify_certificate(path)


def test_a_link_to_a_file_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(certificate_path(NAME))
    assert verify_certificate(tmp_path / "link").holds


def test_a_message_names_the_file(tmp_path):
    (tmp_path / "empty.json").write_text("")
    with pytest.raises(StoreError, match=r"empty\.json: the text is not JSON"):
        verify_certificate(tmp_path / "empty.json")
    (tmp_path / "long.json").write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(BudgetExceeded, match=r"long\.json: more than 1048576 bytes"):
        verify_certificate(tmp_path / "long.json")


def test_a_shipped_file_that_was_altered_is_not_handed_out(tmp_path, monkeypatch):
    for name in ("n2m2_upper", "n2m2_lower"):
        (tmp_path / f"{name}.json").write_bytes(certificate_path(name).read_bytes())
    monkeypatch.setattr(certificate, "_folder", lambda: tmp_path)
    assert certificate_path("n2m2_upper").parent == tmp_path
    (tmp_path / "n2m2_upper.json").write_bytes((tmp_path / "n2m2_lower.json").read_bytes())
    with pytest.raises(StoreError, match="not the file whose SHA-256 the package lists"):
        certificate_path("n2m2_upper")
    with pytest.raises(ValueError, match="`name` must be one of n2m2_lower"):
        certificate_path("n7m7_upper")


def test_the_report_gives_the_digest_of_what_was_read(tmp_path):
    data = text_of().encode() + b"\n\n"
    (tmp_path / "file").write_bytes(data)
    assert verify_certificate(tmp_path / "file").sha256 == hashlib.sha256(data).hexdigest()
