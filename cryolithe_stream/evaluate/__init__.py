"""How good a volume is: Fourier shell correlation, signal-to-noise ratio and correlation with another."""

from cryolithe_stream.evaluate.agreement import Agreement, agreement, correlation, snr_db
from cryolithe_stream.evaluate.compare import Comparison, compare, half_volumes
from cryolithe_stream.evaluate.fsc import (
    THRESHOLDS,
    Crossing,
    Fsc,
    RegionName,
    fourier_shell_correlation,
)
from cryolithe_stream.evaluate.shells import ShellGrid, ShellSums
from cryolithe_stream.evaluate.volumes import ArrayVolume, Region, Volume, open_volume
from cryolithe_stream.evaluate.window import DEFAULT_TAPER

__all__ = [
    "DEFAULT_TAPER",
    "THRESHOLDS",
    "Agreement",
    "ArrayVolume",
    "Comparison",
    "Crossing",
    "Fsc",
    "Region",
    "RegionName",
    "ShellGrid",
    "ShellSums",
    "Volume",
    "agreement",
    "compare",
    "correlation",
    "fourier_shell_correlation",
    "half_volumes",
    "open_volume",
    "snr_db",
]
