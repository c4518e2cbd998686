"""Array and shape types that every layer shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]
Shape2 = tuple[int, int]
Shape3 = tuple[int, int, int]
