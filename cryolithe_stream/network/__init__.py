"""Models: the SliceSet network, projection filters, wavelets, checkpoints and our own model files."""

from cryolithe_stream.network.bundle import list_models, load_model, save_model
from cryolithe_stream.network.checkpoint import load_checkpoint
from cryolithe_stream.network.config import SliceSetConfig
from cryolithe_stream.network.context import Context, ContextConfig
from cryolithe_stream.network.filters import CosineRamp, FrameFilter, ProjectionFilter, Ramp
from cryolithe_stream.network.model import Contrast, Model
from cryolithe_stream.network.public_filters import ConvFilter, PolynomialRamp, RealTaps, StoredResponse
from cryolithe_stream.network.sliceset import SliceSet
from cryolithe_stream.network.wavelet import Wavelet

__all__ = [
    "Context",
    "ContextConfig",
    "Contrast",
    "ConvFilter",
    "CosineRamp",
    "FrameFilter",
    "Model",
    "PolynomialRamp",
    "ProjectionFilter",
    "Ramp",
    "RealTaps",
    "SliceSet",
    "SliceSetConfig",
    "StoredResponse",
    "Wavelet",
    "list_models",
    "load_checkpoint",
    "load_model",
    "save_model",
]
