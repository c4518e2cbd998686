"""Arrays to arrays: the exact, features and filtered back-projection engines, and what each one holds in memory."""

from cryolithe_stream.engines.block import BlockReconstructor, Engine
from cryolithe_stream.engines.context import ContextHead
from cryolithe_stream.engines.device import Precision, dtype_of, resolve_device, resolve_precision
from cryolithe_stream.engines.exact import ExactEngine
from cryolithe_stream.engines.fbp import FbpEngine
from cryolithe_stream.engines.features import FeaturesEngine
from cryolithe_stream.engines.strips import Strips

__all__ = [
    "BlockReconstructor",
    "ContextHead",
    "Engine",
    "ExactEngine",
    "FbpEngine",
    "FeaturesEngine",
    "Precision",
    "Strips",
    "dtype_of",
    "resolve_device",
    "resolve_precision",
]
