"""What the commands share: errors call arguments as they were typed, pictures are PNG."""

import argparse
from pathlib import Path

import pytest

from constructions.errors import StoreError
from theory.command import as_typed, picture_file


def test_arguments_are_called_as_they_were_typed():
    @as_typed(alpha="--alpha", X="DATA")
    def work(error):
        raise error

    with pytest.raises(ValueError, match=r"^`--alpha` and `DATA` and `beta`$"):
        work(ValueError("`alpha` and `X` and `beta`"))
    with pytest.raises(ValueError, match=r"^`--alpha` must be a string$"):
        work(TypeError("`alpha` must be a string"))
    with pytest.raises(StoreError, match=r"^nothing of these$"):
        work(StoreError("nothing of these"))
    with pytest.raises(OSError, match=r"^`alpha`$"):
        work(OSError("`alpha`"))


def test_pictures_say_by_their_ending_what_they_are():
    for text in ("a/b.PNG", "c.svg", "d.pdf"):
        assert picture_file(text) == Path(text)
    for text in ("a.gif", "a.png.jpg", "a", "", "folder/"):
        with pytest.raises(argparse.ArgumentTypeError):
            picture_file(text)
