"""Train, validation and test without leaks: what belongs together stays together, and the past trains.

Rows belong together that share a thread, the column that is split by (customer, thread or template), or are
near-duplicates; so do all that such rows link. With times, all of train is before validation and all of
validation before test: of a group that is in two periods, only the rows of its main one are used.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from stateset.rl.data.rows import is_missing
from stateset.rl.errors import DataError, GateError

SPLITS = ("train", "validation", "test")
GROUPS = ("customer", "thread", "template")
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """`names` has the split of each row, None where it is left out; `by_time` says how it was made."""

    names: tuple[str | None, ...]
    by_time: bool
    groups: int
    largest_group: int

    def places(self, name: str) -> list[int]:
        """Which rows a split has."""
        return [place for place, found in enumerate(self.names) if found == name]


class Leak(NamedTuple):
    """Two rows in two splits, and what they share."""

    first: int
    second: int
    why: str


def make_split(
    rows: Sequence[Mapping[str, Any]],
    *,
    by: str = "customer",
    links: Iterable[tuple[int, int]] = (),
    validation_share: float = 0.1,
    test_share: float = 0.1,
    seed: int = 0,
) -> Split:
    """By time where every row has a `time`; otherwise groups in an order that the seed decides.

    Args:
        rows: with `thread`, `time` (ISO 8601 in UTC, all of one form) and the column `by`, where known.
        by: one of GROUPS; a row without it belongs to its thread.
        links: pairs of rows that belong together.
        validation_share: of all rows, from 0.
        test_share: the same; together below 1.
        seed: only used without times.

    Raises:
        DataError: shares or `by` that make no sense, a column that no row has, or a split that stays empty.
    """
    if by not in GROUPS:
        raise DataError(f"rows cannot be split by '{by}'; use one of {', '.join(GROUPS)}.")
    if not (validation_share >= 0 and test_share >= 0 and validation_share + test_share < 1):
        raise DataError(f"shares {validation_share} and {test_share}: give two that add up to less than 1.")
    if by != "customer" and all(is_missing(row.get(by)) for row in rows):
        raise DataError(f"no row has a `{by}` to split by; use another --by.")
    groups = components(rows, by, links)
    times = [str(row.get("time") or "") for row in rows]
    shares = {"validation": validation_share, "test": test_share}
    by_time = all(times) and len(set(times)) > 1
    names = _by_time(groups, times, shares) if by_time else _by_hash(groups, rows, shares, seed)
    for name, share in (("train", 1.0), *shares.items()):
        if share > 0 and name not in names:
            raise DataError(
                f"{len(rows)} rows in {len(groups)} groups leave nothing for {name}: give more rows, another "
                f"--by, or other shares."
            )
    return Split(names=tuple(names), by_time=by_time, groups=len(groups), largest_group=max(map(len, groups)))


def components(
    rows: Sequence[Mapping[str, Any]], by: str, links: Iterable[tuple[int, int]]
) -> list[list[int]]:
    """Rows that belong together, as sorted lists of places, the first row's group first."""
    return linked_groups(len(rows), (*_shared(rows, by), *((link[0], link[1]) for link in links)))


def linked_groups(count: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Places from 0 that links connect, each group sorted, the group of place 0 first."""
    parent = list(range(count))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for first, second in links:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    found: dict[int, list[int]] = defaultdict(list)
    for place in range(count):
        found[root(place)].append(place)
    return list(found.values())


def find_leaks(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str | None],
    *,
    by: str,
    links: Iterable[tuple[int, int]] = (),
) -> list[Leak]:
    """Every two rows that belong together and are in two splits, each with the first of its kind."""
    leaks = []
    for column in dict.fromkeys(("thread", by)):
        seen: dict[str, dict[str, int]] = defaultdict(dict)
        for place, (row, name) in enumerate(zip(rows, names, strict=True)):
            if name is None or is_missing(row.get(column)):
                continue
            others = seen[str(row[column])]
            leaks += [Leak(other, place, f"same {column}") for at, other in others.items() if at != name]
            others.setdefault(name, place)
    for first, second in links:
        if names[first] and names[second] and names[first] != names[second]:
            leaks.append(Leak(first, second, "near-duplicates"))
    return leaks


def refuse_leaks(
    leaks: Sequence[Leak], rows: Sequence[Mapping[str, Any]], names: Sequence[str | None]
) -> None:
    """Say no to a split that leaks.

    Raises:
        GateError: there are leaks; the message counts them by kind and shows the first.
    """
    if not leaks:
        return
    kinds = ", ".join(f"{count} x {why}" for why, count in Counter(leak.why for leak in leaks).items())
    shown = [
        f"{_name(rows[leak.first], leak.first)} ({names[leak.first]}) and "
        f"{_name(rows[leak.second], leak.second)} ({names[leak.second]}): {leak.why}"
        for leak in leaks[:_SHOWN]
    ]
    more = [f"... and {len(leaks) - _SHOWN} more"] if len(leaks) > _SHOWN else []
    lines = "\n  ".join((*shown, *more))
    raise GateError(
        f"the split leaks ({kinds}): a test on it would be too good. Move these rows together, or leave "
        f"out the column `split`.\n  {lines}"
    )


def _shared(rows: Sequence[Mapping[str, Any]], by: str) -> Iterator[tuple[int, int]]:
    first: dict[tuple[str, str], int] = {}
    for place, row in enumerate(rows):
        for column in ("thread", by):
            if not is_missing(row.get(column)):
                yield first.setdefault((column, str(row[column])), place), place


def _by_time(groups: list[list[int]], times: Sequence[str], shares: Mapping[str, float]) -> list[str | None]:
    ordered = sorted(times)
    total = len(ordered)
    test_from = min(total - round(total * shares["test"]), total - (shares["test"] > 0))
    validation_from = test_from - max(round(total * shares["validation"]), shares["validation"] > 0)
    starts = [ordered[place] if place < total else "~" for place in (max(0, validation_from), test_from)]

    def period(time: str) -> int:
        return 2 if time >= starts[1] else 1 if time >= starts[0] and shares["validation"] > 0 else 0

    names: list[str | None] = [None] * total
    for group in groups:
        periods = Counter(period(times[place]) for place in group)
        chosen = max(periods, key=lambda one: (periods[one], one))
        for place in group:
            if period(times[place]) == chosen:
                names[place] = SPLITS[chosen]
    return names


def _by_hash(
    groups: list[list[int]], rows: Sequence[Mapping[str, Any]], shares: Mapping[str, float], seed: int
) -> list[str | None]:
    """Groups in the order of a hash go where they fit: test, validation, then train."""

    def rank(group: list[int]) -> bytes:
        return blake2b(f"split {seed} {_name(rows[group[0]], group[0])}".encode(), digest_size=16).digest()

    ordered = sorted(groups, key=rank)
    room = {
        name: max(round(len(rows) * shares[name]), 1) for name in ("test", "validation") if shares[name] > 0
    }
    names: list[str | None] = ["train"] * len(rows)
    left = []
    for group in ordered:
        name = next((one for one, free in room.items() if len(group) <= free), None)
        if name is None:
            left.append(group)
            continue
        room[name] -= len(group)
        for place in group:
            names[place] = name
    for name in room:  # every group is larger than the share: the smallest that is left, but not the last
        if name not in names and len(left) > 1:
            smallest = min(left, key=len)
            left.remove(smallest)
            for place in smallest:
                names[place] = name
    return names


def _name(row: Mapping[str, Any], place: int) -> str:
    return f"row {place + 1}" if is_missing(row.get("id")) else str(row["id"])
