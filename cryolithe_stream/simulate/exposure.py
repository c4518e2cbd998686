"""Radiation damage: in which order tilts are taken, and how the exposure wears high frequencies down."""

from __future__ import annotations

from typing import Literal

import numpy as np

from cryolithe_stream.geometry import Floats

DoseOrder = Literal["dose-symmetric", "unidirectional"]


def doses_before(tilts_deg: Floats, per_tilt: float, order: DoseOrder) -> Floats:
    """Dose (e/Å²) that the specimen took before each tilt, `(tilt,)`, when each takes `per_tilt`.

    "unidirectional" goes from the first tilt to the last; "dose-symmetric" outwards from the smallest, signs in turn
    (Hagen et al. 2017).
    """
    n = len(tilts_deg)
    if order == "unidirectional":
        return np.asarray(np.arange(n) * per_tilt, np.float64)
    turn = np.lexsort((tilts_deg < 0, np.round(np.abs(tilts_deg), 3)))
    before = np.empty(n)
    before[turn] = np.arange(n) * per_tilt
    return before


def critical_exposure(frequencies: Floats, voltage_kv: float = 300.0) -> Floats:
    """Exposure (e/Å²) after which the signal's power falls to 1/e: 0.245·k^−1.665 + 2.81 at 300 kV, k in 1/Å.

    A fifth less for every 100 kV below. Infinite at k = 0. Source: Grant & Grigorieff 2015.
    """
    with np.errstate(divide="ignore"):
        at_300 = 0.24499 * np.asarray(frequencies, np.float64) ** -1.6649 + 2.8141
    return np.asarray(at_300 * 0.8 ** ((300.0 - voltage_kv) / 100.0))


def surviving_amplitude(frequencies: Floats, before: float, during: float, voltage_kv: float = 300.0) -> Floats:
    """Mean share of the signal's amplitude, exp(−N/2N_c), over an exposure that begins after `before` e/Å²."""
    twice = 2 * critical_exposure(frequencies, voltage_kv)
    if during <= 0:
        return np.asarray(np.exp(-before / twice))
    with np.errstate(invalid="ignore"):
        mean = twice / during * (np.exp(-before / twice) - np.exp(-(before + during) / twice))
    return np.asarray(np.where(np.isfinite(twice), mean, 1.0))
