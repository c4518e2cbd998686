"""Run as a script: the peak memory that one block adds to a warm process, beside what its engine projects."""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from engines_support import BASE, network

from cryolithe_stream.engines import BlockReconstructor, ContextHead, ExactEngine, FbpEngine, FeaturesEngine, Strips
from cryolithe_stream.geometry import Box, VolumeFrame
from cryolithe_stream.network import Context, ContextConfig, Wavelet

CPU = torch.device("cpu")
WIDE = replace(
    BASE,
    patch_size=9,
    set_input=64,
    set_hidden=(64,),
    set_output=48,
    slice_hidden=(64, 64),
    slice_output=16,
    combine_hidden=(64, 64),
)
COMPACT = replace(WIDE, slice_hidden=None, set_output=16, slice_output=16, combine_hidden=(96, 96, 96))


def reconstructor(name: str, shape) -> BlockReconstructor:
    frame, dtype = VolumeFrame(shape, shape[1:]), torch.bfloat16 if name.endswith("bf16") else torch.float32
    if name == "fbp":
        return BlockReconstructor(frame, FbpEngine(dtype, CPU))
    if name == "exact":
        return BlockReconstructor(frame, ExactEngine(network(WIDE), 1.0, dtype, CPU))
    if name.startswith("context"):
        slim = replace(COMPACT, set_input=16, set_hidden=(16,), combine_hidden=(), output_size=32)
        engine = FeaturesEngine(network(slim), 1, 1.0, dtype, CPU)
        return BlockReconstructor(frame, engine, None, ContextHead(Context(ContextConfig()), dtype, CPU))
    if name == "wavelet":
        engine = FeaturesEngine(network(replace(COMPACT, output_size=8)), 2, 1.0, dtype, CPU)
        return BlockReconstructor(frame, engine, Wavelet("bior3.1"))
    config, k = (WIDE, 8) if name.startswith("paper") else (COMPACT, 2)
    return BlockReconstructor(frame, FeaturesEngine(network(config), k, 1.0, dtype, CPU))


def run(name: str, shape, tilts, halves: bool) -> int:
    made = reconstructor(name, shape)
    layout = made.layout(Box.whole(shape), tilts)
    values = np.zeros(layout.shape, np.float32)
    values += 1  # resident
    made.voxels(Box.whole(shape), Strips.of(layout, values, tilts), halves=halves)
    return made.peak_bytes(shape, layout, halves=halves)


if __name__ == "__main__":
    torch.set_num_threads(1)
    name, halves, *sides = sys.argv[1:]
    tilts = np.linspace(-60, 60, 41)
    run(name, (8, 2, 16), tilts, halves == "halves")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here

    def status(key: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))

    before = status("VmRSS")
    projected = run(name, tuple(map(int, sides)), tilts, halves == "halves")
    print(
        json.dumps(
            {
                "projected": projected,
                "measured": status("VmHWM") - before,
                "all": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            }
        )
    )
