"""Models: the SliceSet network, projection filters, wavelets, checkpoints and our own model files."""

from cryolithe_stream.network.config import SliceSetConfig
from cryolithe_stream.network.sliceset import SliceSet
from cryolithe_stream.network.wavelet import Wavelet

__all__ = ["SliceSet", "SliceSetConfig", "Wavelet"]
