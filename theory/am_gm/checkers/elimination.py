"""Positive semidefiniteness of symmetric integer matrices: LDLᵀ without pivoting and without fractions.

After the rows S were eliminated, the entry (i, j) is the minor det M[S+i, S+j] (Bareiss; Sylvester's identity), so that
every division is exact and the pivots have the signs of D. A positive semidefinite matrix has no negative pivot, and
where a pivot is 0 its whole column is; conversely these make M = LDLᵀ with D ⪰ 0.

Main definition: `positive_rank`.
"""

from __future__ import annotations


def positive_rank(rows: list[list[int]]) -> int | tuple[int, str]:
    """The rank of a positive semidefinite matrix; else the index of the first pivot that shows it is none, and why.

    Only the lower triangle is read: the caller has a symmetric matrix.
    """
    left = [row[: i + 1] for i, row in enumerate(rows)]
    rank, previous = 0, 1
    for k in range(len(left)):
        pivot = left[k][k]
        if pivot < 0:
            return k, "its pivot is negative"
        if pivot == 0:
            if any(left[i][k] for i in range(k + 1, len(left))):
                return k, "its pivot is 0, and its column is not"
            continue
        column = [left[i][k] if i > k else 0 for i in range(len(left))]
        for i in range(k + 1, len(left)):
            row, factor = left[i], column[i]
            for j in range(k + 1, i + 1):
                row[j] = (pivot * row[j] - factor * column[j]) // previous
        rank, previous = rank + 1, pivot
    return rank
