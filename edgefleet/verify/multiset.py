"""Pairs what was sent with what arrived, where all that is known is that they say the same. Pure.

All that is given is in columns; what is returned are the places of the pairs in both.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Pairs = tuple[Ints, Ints]
"""Places in what was sent, and in what arrived."""


def match_keys(sent: Ints, due_ms: Ints, arrived: Ints, arrived_ms: Ints, allowance_ms: int, *, in_turn: bool) -> Pairs:
    """Return as many pairs of equal keys as there are, those of one key in the order of time on both sides.

    With `in_turn`, none of them came more than `allowance_ms` before it was due, and where not all that was sent has
    arrived, the pairs are those with the shortest ways: so a loss does not make all that follows look late, and a
    second copy does not stand for what is sent later.
    """
    by_key_e, by_key_a = np.lexsort((due_ms, sent)), np.lexsort((arrived_ms, arrived))
    keys_e, first_e, count_e = np.unique(sent[by_key_e], return_index=True, return_counts=True)
    keys_a, first_a, count_a = np.unique(arrived[by_key_a], return_index=True, return_counts=True)
    _, at_e, at_a = np.intersect1d(keys_e, keys_a, assume_unique=True, return_indices=True)
    first_e, count_e, first_a, count_a = first_e[at_e], count_e[at_e], first_a[at_a], count_a[at_a]
    pairs = np.minimum(count_e, count_a)
    rank = _ranks(pairs)
    e, a = by_key_e[np.repeat(first_e, pairs) + rank], by_key_a[np.repeat(first_a, pairs) + rank]
    if not in_turn:
        return e, a
    group = np.repeat(np.arange(len(pairs)), pairs)
    by_hand = count_e != count_a
    by_hand[group[arrived_ms[a] < due_ms[e] - allowance_ms]] = True
    found_e, found_a = [e[~by_hand[group]]], [a[~by_hand[group]]]
    for number in np.flatnonzero(by_hand).tolist():
        ours = by_key_e[first_e[number] : first_e[number] + count_e[number]]
        theirs = by_key_a[first_a[number] : first_a[number] + count_a[number]]
        one, other = _pair_in_turn(due_ms[ours].tolist(), arrived_ms[theirs].tolist(), allowance_ms)
        found_e.append(ours[one])
        found_a.append(theirs[other])
    return np.concatenate(found_e), np.concatenate(found_a)


def match_nearby(
    sent: Ints, due_ms: Ints, arrived: Ints, arrived_ms: Ints, allowance_ms: int, longest_ms: int
) -> Pairs:
    """Return pairs of equal keys of which the second came at most so long after the first was due.

    Each arrival takes what was due last before it and is not taken.
    """
    by_key = np.lexsort((due_ms, sent))
    keys, first, count = np.unique(sent[by_key], return_index=True, return_counts=True)
    found_e: list[int] = []
    found_a: list[int] = []
    taken: set[int] = set()
    for place in np.argsort(arrived_ms, kind="stable").tolist():
        group = int(np.searchsorted(keys, arrived[place]))
        if group == len(keys) or keys[group] != arrived[place]:
            continue
        ours = by_key[first[group] : first[group] + count[group]]
        came_ms = int(arrived_ms[place])
        at = int(np.searchsorted(due_ms[ours], came_ms + allowance_ms, side="right")) - 1
        while at >= 0 and int(ours[at]) in taken:
            at -= 1
        if at >= 0 and came_ms - int(due_ms[ours[at]]) <= longest_ms:
            taken.add(int(ours[at]))
            found_e.append(int(ours[at]))
            found_a.append(place)
    return np.array(found_e, np.int64), np.array(found_a, np.int64)


def _pair_in_turn(due_ms: list[int], arrived_ms: list[int], allowance_ms: int) -> tuple[list[int], list[int]]:
    """Return the places of the pairs in two lists of times that rise: as many as can be."""
    waiting: list[int] = []
    sent: list[int] = []
    came: list[int] = []
    following = 0
    for place, at_ms in enumerate(arrived_ms):
        while following < len(due_ms) and due_ms[following] <= at_ms + allowance_ms:
            waiting.append(following)
            following += 1
        if waiting:
            sent.append(waiting.pop())
            came.append(place)
    return sorted(sent), came


def _ranks(counts: Ints) -> Ints:
    """Return 0, 1, … of each group, one group after the other."""
    total = int(counts.sum())
    ends = np.cumsum(counts)
    return np.arange(total) - np.repeat(ends - counts, counts)
