"""Where voxels lie on the projections: frame, sinusoid, strips, boxes."""

from cryolithe_stream.geometry.box import Box
from cryolithe_stream.geometry.frame import GridName, SampleGrid, VolumeFrame
from cryolithe_stream.geometry.strips import StripLayout, column_ranges, row_range, strips_for_grid
from cryolithe_stream.geometry.types import Float32s, Floats, Ints, Shape2, Shape3

__all__ = [
    "Box",
    "Float32s",
    "Floats",
    "GridName",
    "Ints",
    "SampleGrid",
    "Shape2",
    "Shape3",
    "StripLayout",
    "VolumeFrame",
    "column_ranges",
    "row_range",
    "strips_for_grid",
]
