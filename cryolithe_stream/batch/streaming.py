"""A batch whose files are elsewhere: fetched a few series ahead, reconstructed, deleted, on a bounded part of the disk.

A series that is complete is not fetched again: its tomograms stand under their names, and the record tells of which
files and with which options they were made. What an interrupted batch fetched is used again.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryolithe_stream.batch.archive import moved, number_of, to_fetch
from cryolithe_stream.batch.examine import usable
from cryolithe_stream.batch.manifest import Manifest
from cryolithe_stream.batch.record import BatchRecord, Outcome, read_outcomes
from cryolithe_stream.batch.runner import BatchResult, Job, Ready, run_batch
from cryolithe_stream.batch.series import Series
from cryolithe_stream.empiar import Client, FetchedGroup, Group, GroupStream, RemoteFile, Server
from cryolithe_stream.errors import CryolitheWarning, InputError, MemoryBudgetError, OutputError, RemoteError
from cryolithe_stream.run import Progress, RunOptions
from cryolithe_stream.run.progress import Silent
from cryolithe_stream.run.survey import describe_differences
from cryolithe_stream.store import output_faults


@dataclass(frozen=True, slots=True)
class Streaming:
    """How files pass over the disk: where, in how many bytes at most, and whether they stay; and how they are fetched.

    Without `budget_bytes` it is half of what is free and of what is there already.
    """

    scratch: Path
    budget_bytes: int | None = None
    keep_raw: bool = False
    connections: int = 4
    server: Server = field(default_factory=Server)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON."""
        return {**asdict(self), "scratch": str(self.scratch.absolute())}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Streaming:
        """What `to_json` wrote. Raises KeyError or TypeError for anything else."""
        return cls(**{**data, "scratch": Path(data["scratch"]), "server": Server(**data["server"])})

    def budget(self) -> int:
        """Bytes that raw files may take. Raises OutputError when the folder cannot be made."""
        if self.budget_bytes is not None:
            return self.budget_bytes
        with output_faults(self.scratch):
            self.scratch.mkdir(parents=True, exist_ok=True)
            present = sum(path.stat().st_size for path in self.scratch.rglob("*") if path.is_file())
            return (shutil.disk_usage(self.scratch).free + present) // 2


def run_streamed(
    manifest: Manifest,
    folder: Path,
    streaming: Streaming,
    record: BatchRecord,
    *,
    at_once: int | None,
    progress: Progress | None = None,
) -> BatchResult:
    """Reconstruct every series of an entry into `folder/NAME.ome.zarr`, as `run_batch` does.

    Raises, beside what `run_batch` raises, ServerLostError when the server is gone, and OutputError when the disk is
    full or the scratch folder is in use; what was fetched by then is reconstructed first.
    """
    client, progress = Client(streaming.server), progress or Silent()
    entry = _Entry(manifest, folder, streaming)
    known = read_outcomes(folder)
    stand = {job.name: entry.difference(job, known[job.name]) for job in entry.jobs if entry.stands(job, known)}
    rest = [job for job in entry.jobs if job.name not in stand or (stand[job.name] and job.options.overwrite)]
    done = [job for job in entry.jobs if stand.get(job.name) == ""]
    budget = streaming.budget()
    progress.message(
        f"{len(rest)} of {len(entry.jobs)} series to do, {len(done)} are complete and not fetched again; raw files "
        f"take at most {budget / 1e9:.3g} GB of {streaming.scratch}"
    )
    old = [file for job in done for file in entry.files(job)]
    with GroupStream(
        client,
        [Group(job.name, entry.files(job)) for job in rest],
        streaming.scratch,
        budget_bytes=budget,
        connections=streaming.connections,
        precious=old if streaming.keep_raw else (),
        obsolete=() if streaming.keep_raw else old,
    ) as stream:
        files = FilesOfEntry(entry, stream)
        ran = run_batch(rest, record, at_once=at_once, progress=progress, files=files).outcomes if rest else ()
    outcomes = {outcome.name: outcome for outcome in ran}
    for job in entry.jobs:
        if job.name not in outcomes:
            outcomes[job.name] = _not_fetched(job, stand[job.name], known[job.name].outputs)
            if stand[job.name]:
                progress.message(f"{job.name}: failed: {outcomes[job.name].reason}")
    return BatchResult(tuple(outcomes[job.name] for job in entry.jobs), record.report())


def _not_fetched(job: Job, difference: str, outputs: tuple[str, ...]) -> Outcome:
    """The outcome of a job whose tomograms stand there, as it should have made them or not."""
    if not difference:
        return Outcome(job.name, "already complete", outputs=outputs)
    fix = "Name another output folder, or delete it"
    error = OutputError(f"{job.options.output} exists and is another reconstruction: {difference}", fix=fix)
    return Outcome(job.name, "failed", outputs=outputs, reason=str(error))


class _Entry:
    """The series of an entry: what each needs, and the jobs that they become below the scratch folder."""

    def __init__(self, manifest: Manifest, folder: Path, streaming: Streaming) -> None:
        self.manifest, self.folder, self.streaming = manifest, folder, streaming
        self._series = {series.name: series for series in manifest.series}
        self.jobs = [Job(name, manifest.run_options(self.here(name), folder)) for name in self._series]

    def here(self, name: str) -> Series:
        """A series with its files where they are fetched to."""
        return moved(self._series[name], self.manifest.source, self.streaming.scratch.absolute())

    def files(self, job: Job) -> tuple[RemoteFile, ...]:
        """The files that are fetched for a job."""
        number = number_of(self.manifest.source)
        paths = to_fetch(self._series[job.name], self.manifest.source)
        return tuple(RemoteFile(path, self.streaming.server.file_url(number, path)) for path in paths)

    def made_of(self, job: Job, files: Sequence[RemoteFile]) -> dict[str, Any]:
        """What the record tells of a job: its files with sizes and dates, and the options that decide its voxels."""
        told = {file.path: [None if file.size is None else file.size.exact, file.modified] for file in files}
        options = {**job.options.describes_voxels(), "model": job.options.model}
        return {"entry": f"EMPIAR-{number_of(self.manifest.source)}", "files": told, "options": options}

    def stands(self, job: Job, known: Mapping[str, Outcome]) -> bool:
        """Whether the job's tomograms are there, and the record tells what they were made of."""
        made, output = known.get(job.name), job.options.output
        if made is None or not made.is_complete or not made.outputs or made.source is None:
            return False
        whole = all((output.parent / Path(path).name).exists() for path in made.outputs)
        return whole and not output.with_name(output.name + ".partial").exists()

    def difference(self, job: Job, made: Outcome) -> str:
        """How the job's tomograms differ from what it would make now, as far as the record tells; else empty."""
        assert made.source is not None
        wanted = self.made_of(job, self.files(job))
        if made.source["entry"] != wanted["entry"] or set(made.source["files"]) != set(wanted["files"]):
            return "it was made of other files"
        was = made.source["options"]
        return "" if was == wanted["options"] else describe_differences(was, wanted["options"])


class FilesOfEntry:
    """Brings the files of each job when it is started, and deletes them when it is over (`runner.Files`)."""

    def __init__(self, entry: _Entry, stream: GroupStream) -> None:
        self._entry, self._stream = entry, stream

    @property
    def fault(self) -> BaseException | None:
        """What ended the supply of files."""
        return self._stream.fault

    def halt(self) -> None:
        """Wake the threads that wait."""
        self._stream.halt()

    @contextmanager
    def brought(self, job: Job, progress: Progress) -> Iterator[Ready]:
        """The job when its files are there, as `batch plan` would have found it under the scratch folder."""
        fetched = self._stream.take(job.name)
        try:
            if fetched.failed:
                raise RemoteError(_reason(fetched))
            n_bytes = sum(path.stat().st_size for path in fetched.paths)
            progress.message(f"fetched, {len(fetched.paths)} files, {n_bytes / 1e6:,.1f} MB")
            yield Ready(self._options(job), self._entry.made_of(job, fetched.group.files))
        except BaseException as error:
            self._end(fetched, error)
            raise
        self._end(fetched, None)

    def _options(self, job: Job) -> RunOptions:
        manifest = self._entry.manifest
        series, _, unused = usable(self._entry.here(job.name), manifest.options)
        for text in unused:
            warnings.warn(text, CryolitheWarning, stacklevel=2)
        return manifest.run_options(series, self._entry.folder)

    def _end(self, fetched: FetchedGroup, error: BaseException | None) -> None:
        """Delete files that are not needed again; those of what another attempt may mend stay while there is room."""
        at_fault = isinstance(error, InputError) and not isinstance(error, OutputError | MemoryBudgetError)
        if error is not None and not at_fault:
            fetched.set_aside()
        elif self._entry.streaming.keep_raw:
            fetched.keep()
        else:
            fetched.release()


def _reason(fetched: FetchedGroup) -> str:
    (_, first), *others = fetched.failed
    return f"not fetched: {first.rstrip('.')}" + (f"; and {len(others)} more" if others else "")
