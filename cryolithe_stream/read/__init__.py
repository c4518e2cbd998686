"""Files into tilt series: stacks, angles, alignments, metadata."""

from cryolithe_stream.read.angles import read_angles
from cryolithe_stream.read.describe import describe_stack
from cryolithe_stream.read.header import looks_like_stack
from cryolithe_stream.read.images import ImageStack
from cryolithe_stream.read.mapping import read_mapping
from cryolithe_stream.read.mdoc import Mdoc, read_mdoc
from cryolithe_stream.read.relion import Half, is_star
from cryolithe_stream.read.series import Alignment, TiltSeries
from cryolithe_stream.read.solution import VolumeHint
from cryolithe_stream.read.stack import Stack
from cryolithe_stream.read.text import PathLike, format_views, parse_views
from cryolithe_stream.read.tiltseries import read_tilt_series
from cryolithe_stream.read.volume import MrcMap, open_mrc_map
from cryolithe_stream.read.xf import read_xf

__all__ = [
    "Alignment",
    "Half",
    "ImageStack",
    "Mdoc",
    "MrcMap",
    "PathLike",
    "Stack",
    "TiltSeries",
    "VolumeHint",
    "describe_stack",
    "format_views",
    "is_star",
    "looks_like_stack",
    "open_mrc_map",
    "parse_views",
    "read_angles",
    "read_mapping",
    "read_mdoc",
    "read_tilt_series",
    "read_xf",
]
