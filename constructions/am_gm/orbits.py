"""Words in n letters, and orbits of pairs of words under permutations of the letters and transposition.

Main definitions: `words_up_to`, `first_pair`, `orbits`, `growing_words`.
Implementation notes: used to make and to evaluate certificates. The verifier of files has its own.
"""

from __future__ import annotations

import itertools

Word = tuple[int, ...]
Pair = tuple[Word, Word]


def words_up_to(n: int, longest: int) -> list[Word]:
    """All words of at most `longest` letters of 0, …, n − 1, by length, then letters."""
    return [w for length in range(longest + 1) for w in itertools.product(range(n), repeat=length)]


def first_pair(u: Word, v: Word, *, fixed: int) -> Pair:
    """The first pair, by (|u|, u, |v|, v), of the orbit of (u, v) under transposition and the permutations that fix the
    letters below `fixed`."""
    return min((_renamed(u, v, fixed), _renamed(v, u, fixed)), key=lambda p: (len(p[0]), p[0], len(p[1]), p[1]))


def _renamed(u: Word, v: Word, fixed: int) -> Pair:
    """Letters numbered as they occur: the least names that they can have."""
    names = {letter: letter for letter in range(fixed)}
    for letter in (*u, *v):
        names.setdefault(letter, len(names))
    return tuple([names[c] for c in u]), tuple([names[c] for c in v])


def orbits(n: int, longest: int, *, fixed: int) -> list[Pair]:
    """The first pair of every orbit, in their order."""
    words = words_up_to(n, longest)
    return [(u, v) for u in words for v in words if first_pair(u, v, fixed=fixed) == (u, v)]


def growing_words(n: int, longest: int) -> list[Word]:
    """One word of every orbit under permutations of the letters: each new letter is the least that did not occur."""
    found: list[Word] = [()]
    for word in found:
        if len(word) < longest:
            found += [(*word, c) for c in range(min(n, max(word, default=-1) + 2))]
    return found
