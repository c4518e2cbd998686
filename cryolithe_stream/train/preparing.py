"""The specimens of a training, made before it begins: in this process or by workers."""

from __future__ import annotations

from contextlib import closing

from cryolithe_stream.simulate import Mapper
from cryolithe_stream.simulate.memory import require_memory
from cryolithe_stream.train.logbook import Teller
from cryolithe_stream.train.phantoms import SpecimenCache, specimen_bytes


def make_specimens(cache: SpecimenCache, teller: Teller, workers: Mapper) -> None:
    """Have `workers` make every specimen that is trained or validated on, unless it is there.

    Raises as `SpecimenCache.make` does, and MemoryBudgetError when a worker has no memory for the largest.
    """
    o = cache.options
    seeds = list(dict.fromkeys([*range(o.first_seed, o.first_seed + o.count), *o.validation_seeds]))
    missing = [seed for seed in seeds if not cache.has(seed)]
    if missing:
        what = f"a specimen of {max(o.depths)} x {o.rows} x {o.width} voxels"
        fix = "Give smaller phantoms.depths, rows or width, or fewer workers at once"
        require_memory(specimen_bytes(o), what, workers.room_bytes(), fix=fix)
    teller.phase("phantoms", len(seeds), "specimens")
    teller.advance(len(seeds) - len(missing))
    with closing(workers.map(cache.make, missing, what="a specimen")) as made:
        for _ in made:
            teller.advance(1)
