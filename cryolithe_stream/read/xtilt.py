"""Tilts about the x axis, which are not applied: how far they move what is seen, and how much of that is allowed."""

from __future__ import annotations

import numpy as np

from cryolithe_stream.geometry import Floats

LIMIT_PX = 0.25
USUAL_THICKNESS_PX = 1000.0  # where nothing tells it


def moved_px(angles_deg: Floats | float, thickness_px: float) -> float:
    """How far rows move at the faces of a volume, in pixels, by the largest of these tilts about the x axis."""
    return float(np.max(np.abs(np.sin(np.deg2rad(angles_deg))))) * thickness_px / 2
