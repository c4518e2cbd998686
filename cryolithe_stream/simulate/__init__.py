"""Simulated specimens and tilt series: procedural, seeded phantoms, one projector, noise and faults."""

from cryolithe_stream.simulate.acquisition import CLEAN, Acquisition, acquire, add_white_noise, random_tilts
from cryolithe_stream.simulate.phantom import Phantom, PhantomOptions, make_phantom, phantom_of
from cryolithe_stream.simulate.projector import project

__all__ = [
    "CLEAN",
    "Acquisition",
    "Phantom",
    "PhantomOptions",
    "acquire",
    "add_white_noise",
    "make_phantom",
    "phantom_of",
    "project",
    "random_tilts",
]
