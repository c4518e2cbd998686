"""Simulated specimens and tilt series: seeded phantoms, real structures, one projector, microscope and noise."""

from cryolithe_stream.simulate.acquisition import CLEAN, Acquisition, acquire, add_white_noise, random_tilts
from cryolithe_stream.simulate.dataset import simulate
from cryolithe_stream.simulate.manifest import Manifest, SeriesEntry, read_manifest
from cryolithe_stream.simulate.mapper import IN_TURN, Mapper
from cryolithe_stream.simulate.options import SimulateOptions
from cryolithe_stream.simulate.phantom import Phantom, PhantomOptions, make_phantom, phantom_of
from cryolithe_stream.simulate.projector import project

__all__ = [
    "CLEAN",
    "IN_TURN",
    "Acquisition",
    "Manifest",
    "Mapper",
    "Phantom",
    "PhantomOptions",
    "SeriesEntry",
    "SimulateOptions",
    "acquire",
    "add_white_noise",
    "make_phantom",
    "phantom_of",
    "project",
    "random_tilts",
    "read_manifest",
    "simulate",
]
