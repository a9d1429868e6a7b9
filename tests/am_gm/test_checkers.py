"""The verifier of certificates: all that come with the package, one by hand, and what it must not accept."""

import itertools
import json
import math
import random
from fractions import Fraction

import pytest

from constructions.am_gm import Certificate, certificate_path, shipped_certificates
from constructions.am_gm.certificate import _digests
from tests.am_gm.fractions_only import fractions_verdict
from theory.am_gm.checkers import verify_certificate, verify_text
from theory.am_gm.checkers.reading import first_pair, read_text

NAMES = shipped_certificates()
PINNED = {
    "n2m2_lower": "d7284c4d17412d55937ccc212a7d86e3d3f3ce9eeafaeb15777b08765d083b88",
    "n2m2_upper": "f33f2aad46758c59562e505e7d3bab54e01c505033bc9f945fd45729613cbda1",
    "n3m2_lower": "90700fe28fef19a98b40eda25af8e126680d353b168c4356f79dd998e9263958",
    "n3m2_upper": "3b915ea21b3da12078d171bd10be4139bb85dbe35d6304a2a7f783443d55d506",
    "n3m3_lower": "ae0d02355b7bb6f745de396f13ce671d91fe2dea4de17d9c3ec2b20b9b55f6c3",
    "n3m3_upper": "34f5fded3d91b0c3ab2e2500c5130ab7c920245de9ec414ae51992df55eaa831",
    "n4m2_lower": "966335eb7b69cc29719c698888b590cfb82c49db2b86dce5a839711db361e7cb",
    "n4m2_upper": "67f35ec34ad72c61189c7e6b2bbdaf49fab7733e7c26fc1f2786f340f3417ddb",
    "n4m3_lower": "c7c74dbe8235e98b2a6caee1c9ac3b6ebf70674d32e3c553492abddd08f86f82",
    "n4m3_upper": "09e4a9e48abe8752c27a9c14e634f5385963872157de68fd7885a2a7274f3fa3",
    "n4m4_lower": "ca5ed30831ff44e4b785e31f911abbea3428f6d9b66c13a448fd3dcb7a06f6c1",
    "n4m4_upper": "3e2e79276f261a37dbeeaaef33c1d64a1110d0d08a212bc9e4f96b5414701f54",
    "n5m2_lower": "6d12202943abecfb6a77c373edf95ff5b6a4c28bf3444e7afeca8113491232ee",
    "n5m2_upper": "3bdd3e25066cb3783696b17220b277b4f174c4de508c6d9f68c9258741498eec",
    "n5m3_lower": "cb26a2f1e54f3ab10517ab4a0d32e7d337682a080738b845a0552febb5ce7d65",
    "n5m3_upper": "b103ed3ebe38d43d172e29056e3267384a9ece9c845629573c3366cdd0e23f32",
    "n5m4_lower": "9bf7ea06890db4142af3946b5ca2f7f28ab310e8a737bb5b0f65a70124e8a265",
    "n5m4_upper": "209b0f2fe0b79cde9a4920a6f0d95f91612e70cff8180e1f4716a65219a7c534",
    "n5m5_lower_weak": "ee9bc248324ea264e1fcad66812858de77da31774e849d6499203e0b2f400adc",
    "n5m5_upper": "799a3490c9eda08e253e8c6bc2ca25058e193416a91de27a987b30ae292a06ec",
    "n6m2_lower": "4e2ed3fe48a93a2d5048da37c7cc0af6b97254e0ae77b11dfeb1c4fbd0a6f6e1",
    "n6m2_upper": "17d346420626aafb07f4b0ed70cc4ff6fd8d9b77d7a73a8fd2d81e365f289f4b",
    "n6m3_lower": "e1db80334d38114f8d990049307384e438cfe191b21720235698d7ecf2d15897",
    "n6m3_upper": "1a73f32d446ce62b664c231054ad914e8f8a70c78d31d56b56edbffb6ea37787",
    "n6m4_lower": "30b233691a3c69a3bae933b853e62766cf840ad7ad8eb82fcf7c689cfd8d8046",
    "n6m4_upper": "e1e361b3cf96cd7f0a24ae50ed743e3721b46e9276a105757b645b0cff15a811",
    "n6m5_lower": "9bf021ceaca3694fdd4995dfa327ae50e4c0403c10ce7627efb8a34786b43012",
    "n6m5_upper": "87ff5bcc719e42fcc06fba8396f91ec8158887ebea8db69de0b79c8850144a6c",
}
"""A changed file must be verified again, not only hashed again."""


def fields(name):
    return json.loads(certificate_path(name).read_text())


def verified(data):
    return verify_text(json.dumps(data))


def by_hand(p, bound="2"):
    """The family of certificates for two matrices, upper half: positive semidefinite for p = 0, not for p = −1."""
    p = Fraction(p)
    half = Fraction(1, 2)
    h = {("", ""): 1, ("", "0"): -p, ("0", "0"): half + p, ("0", "1"): p}
    g = {("", ""): 1 + 4 * p, ("", "0"): -half - 2 * p, ("", "1"): -half - 2 * p}
    g |= {("0", "0"): half + p, ("0", "1"): p, ("1", "1"): half + p}
    rows = {name: [[*pair, str(v)] for pair, v in part.items()] for name, part in (("H", h), ("G", g))}
    return {"format": "momlp-amgm-sos", "version": 1, "n": 2, "m": 2, "side": "upper", "bound": bound, **rows}


# --- those that come with the package -------------------------------------------------------------------


@pytest.mark.exact
@pytest.mark.parametrize("name", NAMES)
def test_every_certificate_holds(name):
    report = verify_certificate(certificate_path(name))
    n, m = report.n, report.m
    assert report.holds, report.failure
    assert (report.sha256, report.mismatches) == (PINNED[name], 0)
    assert report.words == sum(n**j for j in range(2 * (m // 2) + 2))
    size = sum(n**j for j in range(m // 2 + 1))
    tight = report.side == "upper"  # A_i = I gives equality: every G kills the vector of ones
    assert (report.size, report.h_rank, report.g_rank) == (size, size, size - tight)
    assert name == f"n{n}m{m}_{report.side}" + ("" if report.proves_inequality else "_weak")
    assert report.proves_inequality == (report.bound == math.perm(n, m))


def test_the_digests_are_pinned():
    assert _digests() == PINNED


def test_the_weak_bound_is_no_half_of_the_inequality():
    report = verify_certificate(certificate_path("n5m5_lower_weak"))
    assert (report.bound, report.holds, report.proves_inequality) == (Fraction(7233, 50), True, False)


SLOW = [pytest.param(name, marks=pytest.mark.slow) if name[1] == "6" else name for name in NAMES]


@pytest.mark.exact
@pytest.mark.parametrize("name", SLOW)
def test_fractions_and_orbits_as_sets_agree(name):
    text = certificate_path(name).read_text()
    report = verify_text(text)
    assert fractions_verdict(text) == (report.mismatches, report.h_rank, report.g_rank)


# --- by hand --------------------------------------------------------------------------------------------


def test_two_matrices_by_hand():
    report = verified(by_hand(0))
    assert report.holds
    assert (report.words, report.h_rank, report.g_rank, report.proves_inequality) == (15, 3, 2, True)
    assert verified(by_hand("130209/1000000")).holds


def test_the_family_is_positive_between_two_roots():
    """An identity for every p; G_0 ⪰ 0 iff p ≥ −1/4, and H ⪰ 0 iff 1 + 4p − 4p² ≥ 0: |p − 1/2| ≤ 1/√2."""
    for p, good in (("-1/5", True), ("-21/100", False), ("6/5", True), ("121/100", False), ("-1", False)):
        report = verified(by_hand(p))
        assert (report.mismatches, report.holds) == (0, good), p


def test_controls_of_the_family():
    report = verified(by_hand(-1))
    assert report.failure == "H is not positive semidefinite: at the word 0 (row 1) its pivot is negative"
    report = verified(by_hand(0, bound="1"))
    assert report.failure == "the identity fails at 1 word, first at the empty word, by 1"
    assert (report.h_rank, report.g_rank) == (None, None)


# --- controls on (4, 4) ---------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("side", ["upper", "lower"])


@BOTH
def test_one_changed_entry_breaks_the_identity(side):
    source = random.Random(side)
    for _ in range(20):
        data = fields(f"n4m4_{side}")
        row = source.choice(data["H"] + data["G"])
        row[2] = str(Fraction(row[2]) + Fraction(1, 10**9))
        report = verified(data)
        assert report.failure.startswith("the identity fails at ")
        assert report.mismatches > 0


@BOTH
def test_the_other_side(side):
    data = fields(f"n4m4_{side}") | {"side": "lower" if side == "upper" else "upper"}
    report = verified(data)
    assert report.mismatches == 24
    assert report.failure.startswith("the identity fails at 24 words, first at the word 0123, by ")


@BOTH
def test_a_smaller_bound(side):
    report = verified(fields(f"n4m4_{side}") | {"bound": "23"})
    assert report.failure == "the identity fails at 1 word, first at the empty word, by 1"


@BOTH
def test_a_larger_bound_in_h_is_a_weaker_theorem(side):
    data = fields(f"n4m4_{side}") | {"bound": "28"}
    data["H"][0][2] = str(Fraction(data["H"][0][2]) + 1)  # n more at the empty word, and 1 less at every letter
    assert verified(data).mismatches == 4
    data["G"][0][2] = str(Fraction(data["G"][0][2]) + 1)
    report = verified(data)
    assert (report.holds, report.proves_inequality) == (True, False)


@BOTH
def test_h_that_is_not_positive(side):
    """The identity stays: what is taken from H at the empty word is given to G, and the bound sinks."""
    data = fields(f"n4m4_{side}")
    data["H"][0][2] = str(Fraction(data["H"][0][2]) - 10)
    data["G"][0][2] = str(Fraction(data["G"][0][2]) - 10)
    report = verified(data | {"bound": "-16"})
    assert report.mismatches == 0
    assert report.failure.startswith("H is not positive semidefinite: at the empty word (row 0) its pivot is negative")


@BOTH
def test_g_that_is_not_positive(side):
    """Moving weight between H and G keeps the identity: H + δ on the diagonal at ∅ needs G + δ, and back."""
    data = fields(f"n4m4_{side}")
    shift = Fraction(data["G"][0][2]) + 1
    data["G"][0][2] = "-1"
    data["H"][0][2] = str(Fraction(data["H"][0][2]) - shift)
    report = verified(data | {"bound": str(24 - 4 * shift)})
    assert (report.mismatches, report.holds, report.g_rank) == (0, False, None)


@BOTH
def test_other_n_and_m(side):
    for change in ({"m": 3}, {"m": 2}, {"n": 5}):
        with pytest.raises(ValueError, match=r"orbit is missing|at most 1 letters"):
            verified(fields(f"n4m4_{side}") | change)
    assert verified(fields(f"n5m4_{side}") | {"m": 5}).mismatches == 240
    assert verified(fields(f"n3m3_{side}") | {"m": 2}).mismatches == 12
    with pytest.raises(ValueError, match=r"not the first pair|letters 0 to 3"):
        verified(fields(f"n5m5_{side}_weak" if side == "lower" else "n5m5_upper") | {"n": 4, "m": 4})


def test_h_of_one_file_with_g_of_another():
    data = fields("n4m4_upper") | {"G": fields("n4m4_lower")["G"]}
    assert verified(data).mismatches > 0


def test_fractions_agree_on_what_fails():
    """Entries changed at random: as many coefficients differ, and the matrices are as positive as they were."""
    source = random.Random(5)
    for name in ("n2m2_upper", "n3m3_lower", "n3m3_upper") * 4:
        data = fields(name)
        for row in source.sample(data["H"] + data["G"], 2):
            row[2] = str(Fraction(row[2]) + Fraction(source.randint(-9, 9), 7))
        text = json.dumps(data | {"bound": str(source.randint(-3, 12))})
        mismatches, *ranks = fractions_verdict(text)
        report = verify_text(text)
        assert report.mismatches == mismatches
        assert report.holds == (mismatches == 0 and None not in ranks)


# --- orbits ---------------------------------------------------------------------------------------------


@pytest.mark.exact
@pytest.mark.parametrize(("n", "longest"), [(2, 1), (3, 1), (3, 2), (4, 2)])
def test_orbits_are_those_of_all_permutations(n, longest):
    words = [w for length in range(longest + 1) for w in itertools.product(range(n), repeat=length)]
    order = {w: i for i, w in enumerate(words)}
    for fixed in (0, 1):
        moves = [p for p in itertools.permutations(range(n)) if p[:fixed] == tuple(range(fixed))]
        for u, v in itertools.product(words, repeat=2):
            images = [(tuple(p[c] for c in u), tuple(p[c] for c in v)) for p in moves]
            images += [(b, a) for a, b in images]
            assert first_pair(u, v, fixed) == min(images, key=lambda pair: (order[pair[0]], order[pair[1]]))


def test_the_reader_and_the_builder_read_the_same():
    for name in ("n3m3_upper", "n4m4_lower"):
        ours, theirs = Certificate.load(name), read_text(certificate_path(name).read_bytes())
        H, G = ours.matrices()
        scale = theirs.denominator
        assert [[round(v * scale) for v in row] for row in H.tolist()] == theirs.h
        assert [[round(v * scale) for v in row] for row in G.tolist()] == theirs.g
        assert verify_text(ours.to_json()).holds
