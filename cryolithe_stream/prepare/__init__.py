"""Preparation: an aligned, binned, normalised and filtered stack of projections out of a tilt series."""

from cryolithe_stream.prepare.content import content_hash
from cryolithe_stream.prepare.contrast import Contrast, frame_skewness, looks_inverted, warn_if_inverted
from cryolithe_stream.prepare.geometry import Resampling, resampling
from cryolithe_stream.prepare.layout import ProjectionLayout, frame_resampling, layout
from cryolithe_stream.prepare.memory import prepare_bytes
from cryolithe_stream.prepare.pipeline import Prepared, prepare_projections
from cryolithe_stream.prepare.resample import resample, resampling_bytes

__all__ = [
    "Contrast",
    "Prepared",
    "ProjectionLayout",
    "Resampling",
    "content_hash",
    "frame_resampling",
    "frame_skewness",
    "layout",
    "looks_inverted",
    "prepare_bytes",
    "prepare_projections",
    "resample",
    "resampling",
    "resampling_bytes",
    "warn_if_inverted",
]
