"""Which view of a stack each row of an alignment is, when the rows are fewer."""

from __future__ import annotations

import numpy as np

from cryolithe_stream.geometry import Floats, Ints


def match_by_angle(rows_deg: Floats, nominal_deg: Floats) -> Ints | None:
    """View (0-based) of each row, `(row,)`, so that refined angles equal nominal ones up to one common offset.

    The order of angles is kept, no view serves twice, and no row strays by more than a quarter of the angular step
    (0.75° at most). None when no offset does that, when two do about as well, or when views of the same angle
    compete: a wrong match is a wrong tomogram that looks right.
    """
    order_rows, order_views = np.argsort(rows_deg, kind="stable"), np.argsort(nominal_deg, kind="stable")
    rows, nominal = rows_deg[order_rows], nominal_deg[order_views]
    steps = np.diff(nominal)
    if not 2 <= len(rows) <= len(nominal) or not bool(np.any(steps > 0.05)):
        return None
    tolerance = min(0.75, float(np.median(steps[steps > 0.05])) / 4)
    found = []
    for first in range(len(nominal) - len(rows) + 1):
        places = _assign(rows - (rows[0] - nominal[first]), nominal)
        if places is None:
            continue
        difference = rows - nominal[places]
        stray = float(np.max(np.abs(difference - np.median(difference))))
        if stray <= tolerance and not _twins_compete(places, nominal):
            found.append((stray, abs(float(np.median(difference))), places))
    places = _clear_winner(found)
    if places is None:
        return None
    views = np.empty(len(rows), dtype=np.int64)
    views[order_rows] = order_views[places]
    return views


def _assign(rows: Floats, nominal: Floats) -> Ints | None:
    """The nearest unused place for each ascending row, ascending too, or None when they run out."""
    places: list[int] = []
    at = 0
    for index, row in enumerate(rows):
        last = len(nominal) - (len(rows) - index)
        while at < last and abs(nominal[at + 1] - row) < abs(nominal[at] - row):
            at += 1
        if at > last:
            return None
        places.append(at)
        at += 1
    return np.array(places, dtype=np.int64)


def _twins_compete(places: Ints, nominal: Floats) -> bool:
    """Whether a view that was left out has the angle of one that was taken."""
    left = np.setdiff1d(np.arange(len(nominal)), places)
    return any(float(np.min(np.abs(nominal[places] - nominal[view]))) < 0.05 for view in left)


def _clear_winner(found: list[tuple[float, float, Ints]]) -> Ints | None:
    """The best match if its next rival strays twice as far, or the one without an offset among equals."""
    if not found:
        return None
    ranked = sorted(found, key=lambda entry: entry[:2])
    rivals = [entry for entry in ranked if entry[0] <= 2 * ranked[0][0] + 0.005]
    if len(rivals) == 1:
        return ranked[0][2]
    unmoved = [entry for entry in rivals if entry[1] <= 0.1]
    return unmoved[0][2] if len(unmoved) == 1 else None
