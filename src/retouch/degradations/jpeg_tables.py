"""The luma quantisation tables of JPEG as libjpeg makes them. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

ANNEX_K = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
"""The luma table of ITU T.81, annex K.1, row by row: vertical frequency first."""


def luma_table(quality: int) -> tuple[int, ...]:
    """The 64 luma steps of libjpeg at ``quality``, 1..100, row by row.

    libjpeg scales annex K.1 by s percent, s = 5000/q below quality 50 and 200 - 2q from there on, and keeps each entry
    in 1..255.
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return tuple(min(255, max(1, (entry * percent + 50) // 100)) for entry in ANNEX_K)


def quality_of_table(table: Sequence[int]) -> int:
    """The libjpeg quality, 1..100, whose luma table comes nearest to ``table``, 64 steps in any order.

    Entries are compared in sorted order, by the sum of their differences.
    """
    steps = sorted(table)

    def distance(quality: int) -> int:
        return sum(abs(one - other) for one, other in zip(steps, sorted(luma_table(quality)), strict=True))

    return min(range(1, 101), key=distance)
