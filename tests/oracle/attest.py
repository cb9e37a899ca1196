"""How many seconds an attestor may speak for, reckoned anew second by second. Imports nothing of ours.

Times are whole Unix seconds. A second [s, s + 1) between the opening and the end is taken or not.
"""

from __future__ import annotations

from itertools import pairwise


def logged_seconds(times: list[int], opened: int, until: int, longest_gap: int, start_up: int) -> int:
    """Count the seconds that lie between two marks which are near enough; the first mark is the opening."""
    marks = [opened, *times]
    taken = set()
    for place in range(1, len(marks)):
        allowed = start_up if place == 1 else longest_gap
        if marks[place] - marks[place - 1] <= allowed:
            taken |= {second for second in range(marks[place - 1], marks[place]) if opened <= second < until}
    return len(taken)


def pinged_seconds(
    pings: list[tuple[int, bool]], opened: int, until: int, longest_gap: int, start_up: int
) -> int:
    """Count the seconds that answered pings (time, whether answered) speak for."""
    within = sorted((time, place, answered) for place, (time, answered) in enumerate(pings))
    within = [each for each in within if opened <= each[0] <= until]
    answered_at = [index for index, each in enumerate(within) if each[2]]
    taken: set[int] = set()
    if not answered_at:
        return 0
    first = within[answered_at[0]][0]
    if first - opened <= start_up:
        taken |= set(range(opened, first))
    for left, right in pairwise(answered_at):
        if right == left + 1 and within[right][0] - within[left][0] <= longest_gap:
            taken |= set(range(within[left][0], within[right][0]))
    last = answered_at[-1]
    if last == len(within) - 1 and until - within[last][0] <= longest_gap:
        taken |= set(range(within[last][0], until))
    return len(taken)
