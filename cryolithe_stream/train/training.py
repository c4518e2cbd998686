"""A training from its configuration to its model: what stands in its folder, and how it goes on."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from cryolithe_stream.engines import dtype_of, resolve_device, resolve_precision
from cryolithe_stream.errors import OutputError
from cryolithe_stream.simulate import IN_TURN, Mapper
from cryolithe_stream.store import output_faults
from cryolithe_stream.store.atomic import write_atomically
from cryolithe_stream.store.lock import WriterLock
from cryolithe_stream.train.card import write_outcome
from cryolithe_stream.train.checked import check_pair, simulated_pairs
from cryolithe_stream.train.checkpoint import Progress, State, read_identity
from cryolithe_stream.train.logbook import Logbook, Teller
from cryolithe_stream.train.loop import Ending, Loop, shares
from cryolithe_stream.train.optimisers import make_optimiser
from cryolithe_stream.train.options import TrainOptions
from cryolithe_stream.train.pairs import Pair, ready_pair
from cryolithe_stream.train.phantoms import Recorder, SpecimenCache
from cryolithe_stream.train.preparing import make_specimens
from cryolithe_stream.train.ranks import Ranks, device_of_rank, ranks_of
from cryolithe_stream.train.schedule import averaged
from cryolithe_stream.train.stream import Examples, PairSource, PhantomSource, Source, made_ahead
from cryolithe_stream.train.trainee import Trainee, calibrate, make_trainee
from cryolithe_stream.train.validation import Check, Score, pair_checks, phantom_checks, score

Status = Literal["done", "already complete", "out of time", "interrupted"]
MARK = "training.json"
_OWN = ("log.csv", "curve.png", "model-card.md", "tensorboard", "checkpoint", MARK)


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training ended; `model` is the file when it is done, `step` how many steps it has."""

    status: Status
    model: Path | None
    step: int


class _Silent:
    """Tells nothing: only the process that writes speaks."""

    def phase(self, name: str, total: int, unit: str) -> None:
        """Nothing."""

    def advance(self, n: int, voxels: int = 0) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """What is trained and validated on."""

    sources: list[Source]
    pairs: list[Pair]
    checks: list[Check]
    identity: dict[str, Any]


def train_model(
    options: TrainOptions,
    folder: Path,
    teller: Teller,
    *,
    minutes: float | None = None,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    workers: Mapper = IN_TURN,
) -> Trained:
    """Train a model in `folder`, or go on with the training there; stops after `minutes` and can be continued.

    Specimens that are missing are made by `workers`, with the same bytes everywhere, before the training begins here.
    Every step is a function of the configuration, the data and the number of processes, so a training that was
    interrupted, even killed, ends with the weights that it would have had (with the same threads and machine).
    Raises InputError for wrong options and data, OutputError for a folder that holds something else or another
    training (unless `overwrite`) and for a full disk, TrainingError when numbers are no longer finite.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    if threads is not None:
        torch.set_num_threads(threads)
    place = device_of_rank(resolve_device(device))
    if place.type == "cuda":
        torch.cuda.set_device(place)
    with ranks_of(place) as ranks:
        lock = _open_folder(folder, options, overwrite=overwrite) if ranks.writes else None
        try:
            return _train(options, folder, teller if ranks.writes else _Silent(), ranks, place, deadline, workers)
        finally:
            if lock is not None:
                lock.release()


def _train(
    options: TrainOptions,
    folder: Path,
    teller: Teller,
    ranks: Ranks,
    device: torch.device,
    deadline: float | None,
    workers: Mapper,
) -> Trained:
    precision = resolve_precision(options.precision, device)
    trainee = make_trainee(options, dtype_of(precision), device)
    sampler = trainee.sampler(options)
    data = _data(options, folder, trainee, teller, ranks, workers)
    given = {**options.identity(), "precision": precision, "wavelet": getattr(trainee.plan.wavelet, "name", None)}
    identity = json.loads(json.dumps({"configuration": given, "data": data.identity, "processes": ranks.world}))
    examples = Examples(data.sources, sampler, options.seed)
    checkpoint, model = folder / "checkpoint" / "latest.safetensors", folder / f"{options.name}.safetensors"
    there = checkpoint.exists()
    if there:
        _same_training(checkpoint, identity)
    elif options.start_from is None:
        # Made as the training's are: a continued one makes these recordings again, which must not differ in a bit.
        _, each = shares(options.batch, torch.get_num_threads(), device)
        calibrate(trainee, list(made_ahead(partial(examples, tag=3), iter(range(3)), 3, 1, each)))
    state = State(trainee, averaged(trainee), make_optimiser(options.optimiser, trainee), Progress())
    if there:
        state.load(checkpoint)
        if state.progress.step == options.steps and model.exists():
            return Trained("already complete", model, options.steps)
    ranks.wait()  # before the first checkpoint is written

    latest: dict[str, Score] = {}

    def validate() -> dict[str, Score]:
        latest.update({check.name: score(state.average, sampler, check) for check in data.checks})
        return dict(latest)

    log = None
    if ranks.writes:
        write_atomically(folder / MARK, json.dumps({"cryolithe_stream": "training", **identity}, indent=1).encode())
        log = Logbook(folder, [check.name for check in data.checks], state.progress, teller)
    threads = torch.get_num_threads()
    loop = Loop(
        options, state, ranks, examples, validate, log, checkpoint, identity, teller, threads=threads, deadline=deadline
    )
    try:
        ending: Ending = loop.run()
    finally:
        torch.set_num_threads(threads)
        if log is not None:
            log.close()
    if ending == "done" and ranks.writes:
        scores = latest or validate()  # the last step was validated unless an earlier run took it
        write_outcome(folder, state.average, options, identity, data.pairs, scores, state.progress.minutes)
    if ending == "interrupted":
        raise KeyboardInterrupt
    return Trained(ending, model if ending == "done" else None, state.progress.step)


def _data(options: TrainOptions, folder: Path, trainee: Trainee, teller: Teller, ranks: Ranks, workers: Mapper) -> Data:
    """All data, checked before anything large is read and prepared; other processes wait for the one that writes."""
    given = [*options.pairs, *(pair for folder in options.simulated for pair in simulated_pairs(folder))]
    checked = [check_pair(pair) for pair in given]
    points = options.sampling.kind == "points"
    cache = (
        None
        if options.phantoms is None
        else SpecimenCache(options.phantoms.cache or folder / "phantoms", options.phantoms)
    )
    if cache is not None and ranks.writes:
        make_specimens(cache, teller, workers)
    if not ranks.writes:
        ranks.wait()  # until the process that writes has made and prepared everything
    if checked:
        teller.phase("pairs", len(checked), "pairs")
    pairs = []
    for number, pair in enumerate(checked):
        pairs.append(ready_pair(pair, folder / "pairs" / f"{number:03d}", trainee.preparation, teller.message))
        teller.advance(1)
    if ranks.writes:
        ranks.wait()
    sources: list[Source] = []
    if cache is not None:
        o = cache.options
        sources.append(PhantomSource(Recorder(cache, options.seed, trainee.preparation), o.weight, o.pool, o.uses))
    sources += [PairSource(pair) for pair in pairs]
    checks: list[Check] = []
    if ranks.writes:
        checks = [] if cache is None else phantom_checks(cache, trainee, points=points)
        checks += pair_checks(pairs, points=points)
    start = None if options.start_from is None else trainee.fingerprint
    templates = {} if cache is None else cache.hashes
    about = {"start": start, "pairs": [pair.identity for pair in pairs], "templates": templates}
    return Data(sources, pairs, checks, about)


def _open_folder(folder: Path, options: TrainOptions, *, overwrite: bool) -> WriterLock:
    """The folder's lock; what an earlier training left is removed if it may be."""
    with output_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = WriterLock.acquire(folder / "lock")
    try:
        model = folder / f"{options.name}.safetensors"
        ours = (folder / MARK).is_file()
        there = [name for name in (*_OWN, model.name) if os.path.lexists(folder / name)]
        if there and not ours:
            raise OutputError(f"{folder} holds {there[0]}, which is of no training", fix="Name another folder")
        with output_faults(folder):
            if overwrite:
                for name in (*_OWN, model.name):
                    _remove(folder / name)
            (folder / "checkpoint").mkdir(exist_ok=True)
            for left in (folder / "checkpoint").glob(".*.partial"):
                left.unlink()
            if not (folder / "checkpoint" / "latest.safetensors").exists():
                _remove(folder / "tensorboard")
        if not (folder / MARK).exists():
            write_atomically(folder / MARK, b'{"cryolithe_stream": "training"}')
    except BaseException:
        lock.release()
        raise
    return lock


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _same_training(checkpoint: Path, identity: dict[str, Any]) -> None:
    made = read_identity(checkpoint)
    differing = _differences(made, identity)
    if differing:
        raise OutputError(
            f"{checkpoint.parent.parent} holds another training: {'; '.join(differing)}",
            fix="Name another folder, or start anew with --overwrite",
        )


def _differences(was: Any, now: Any, key: str = "") -> list[str]:
    """The keys whose values differ, in words."""
    if isinstance(was, dict) and isinstance(now, dict):
        pairs = [(name, was.get(name), now.get(name)) for name in sorted({*was, *now})]
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(was, now, strict=True))]
    else:
        short = len(json.dumps([was, now])) < 60
        name = key.removeprefix(".configuration.").removeprefix(".")
        return [] if was == now else [f"{name} was {was}, is {now}" if short else f"{name} differs"]
    return [text for name, a, b in pairs for text in _differences(a, b, f"{key}.{name}")]
