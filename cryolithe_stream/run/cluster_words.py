"""The words that name a cluster: read into what they mean, without Dask."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Literal

from cryolithe_stream.run.parse import parse_bytes, suggestion

Kind = Literal["local", "threads", "address", "file", "queue", "cuda", "class"]
Value = str | int | bool | tuple[str, ...]

QUEUES = ("slurm", "lsf", "pbs", "sge")
LISTS = frozenset({"job_directives_skip", "job_extra_directives", "job_script_prologue", "worker_extra_args"})
"""Keys that may be given several times, once for each entry of a list."""
_WHOLE = frozenset({"cores", "gpus", "job_cpu", "ncpus", "processes"})
_SIZES = frozenset({"mem", "memory"})
_TRUTHS = frozenset({"nanny", "use_stdin"})
_FORMS = (
    "a cluster is local[:N], threads[:N], the tcp:// or tls:// address of a scheduler, file:scheduler.json, "
    "slurm|lsf|pbs|sge[:key=value,…], cuda or FILE.yaml"
)
_COUNTED = re.compile(r"(local|threads)(?::([1-9]\d{0,4}))?")
_ADDRESS = re.compile(r"(tcp|tls)://\S+")
_ADAPT = re.compile(r"\s*(\d{1,5})\s*:\s*(\d{1,5})\s*")
_LISTENS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]*):(\d{1,5})")
_WORDS = ("local", "threads", "file", *QUEUES, "cuda")


@dataclass(frozen=True, slots=True)
class ClusterWord:
    """What a word names: `count` of `local:N`, `place` of an address or file, `settings` of a batch system."""

    kind: Kind
    name: str
    count: int | None = None
    place: str = ""
    settings: tuple[tuple[str, Value], ...] = ()

    @property
    def scales(self) -> bool:
        """Whether this program starts the workers and can be told how many (`local:4` says so itself)."""
        return self.kind in ("queue", "cuda", "class")

    def __str__(self) -> str:
        """The word as it is written; reading it gives the same again."""
        if self.kind in ("address", "class"):
            return self.place
        if self.kind == "file":
            return f"file:{self.place}"
        if self.settings:
            pairs = [(key, entry) for key, value in self.settings for entry in _entries(value)]
            return f"{self.name}:" + ",".join(f"{key}={shlex.quote(entry)}" for key, entry in pairs)
        return self.name if self.count is None else f"{self.name}:{self.count}"


@dataclass(frozen=True, slots=True)
class Scale:
    """How many worker processes a cluster is asked for: a number, or from `adapt[0]` to `adapt[1]` as work needs."""

    workers: int | None = None
    adapt: tuple[int, int] | None = None

    @property
    def most(self) -> int | None:
        """The largest number asked for."""
        return self.adapt[1] if self.adapt else self.workers


def parse_cluster(value: object) -> str:
    """The word without outer spaces, when `read_word` can read it; ValueError otherwise."""
    text = str(value).strip()
    read_word(text)
    return text


def read_word(text: str) -> ClusterWord:
    """What a cluster's word names. Raises ValueError for anything that is none, and for settings that are not."""
    text = text.strip()
    if any(not character.isprintable() for character in text):
        raise ValueError(f"{_FORMS}, without control characters")
    if match := _COUNTED.fullmatch(text):
        return ClusterWord("local" if match[1] == "local" else "threads", match[1], int(match[2]) if match[2] else None)
    if match := _ADDRESS.fullmatch(text):
        return ClusterWord("address", match[1], place=text)
    name, colon, rest = text.partition(":")
    if name == "file" and rest.strip():
        return ClusterWord("file", "file", place=rest.strip())
    if name in QUEUES and (rest or not colon):
        return ClusterWord("queue", name, settings=_settings(rest))
    if text == "cuda":
        return ClusterWord("cuda", "cuda")
    if text.endswith((".yaml", ".yml")) and "://" not in text:
        return ClusterWord("class", "class", place=text)
    raise ValueError(_FORMS + suggestion(name, _WORDS))


def parse_adapt(value: object) -> tuple[int, int]:
    """The fewest and the most workers that `MIN:MAX` names; ValueError for anything else."""
    if isinstance(value, tuple | list):
        value = ":".join(str(part) for part in value)
    match = _ADAPT.fullmatch(str(value))
    if match is None or not 0 <= int(match[1]) <= int(match[2]) or int(match[2]) == 0:
        raise ValueError("the fewest and the most workers are two numbers that do not run downwards, such as 0:8")
    return int(match[1]), int(match[2])


def parse_listens(value: object) -> str:
    """The address `HOST:PORT` that a dashboard listens at, or `:PORT` for every network; ValueError otherwise."""
    text = str(value).strip()
    match = _LISTENS.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        raise ValueError("a dashboard listens at HOST:PORT or, on every network, at :PORT")
    return text


def faults_of(word: ClusterWord, *, workers: object, adapt: object, dashboard: object) -> list[str]:
    """What of `workers`, `adapt` and `dashboard` (None: not given) makes no sense with a cluster, one clause each."""
    faults = []
    given = [name for name, value in (("workers", workers), ("adapt", adapt)) if value is not None]
    if len(given) == 2:
        faults.append("adapt: excludes workers, which fixes their number")
    if given and not word.scales:
        counted = word.kind in ("local", "threads")
        why = f"is written {word.name}:N" if counted else "is a scheduler whose workers were started elsewhere"
        faults.extend(f"{name}: makes no sense for the cluster {word}, which {why}" for name in given)
    if dashboard is not None and word.kind in ("address", "file", "class"):
        faults.append(f"dashboard: makes no sense for the cluster {word}, whose scheduler has its own settings")
    return faults


def _settings(text: str) -> tuple[tuple[str, Value], ...]:
    """Keys and values of `key=value,…`; quoting is a shell's, so a comma in a value stands in quotes."""
    parts = shlex.shlex(text, posix=True)
    parts.whitespace, parts.whitespace_split, parts.commenters = ",", True, ""
    try:
        pairs = [part.partition("=") for part in parts]
    except ValueError as error:
        raise ValueError("a quotation mark is not closed: quote values as in a shell") from error
    found: dict[str, Value] = {}
    for name, equals, written in pairs:
        key, value = name.strip().replace("-", "_"), written.strip()
        if not equals or not key.isidentifier():
            raise ValueError(
                f"{name.strip()!r} is not key=value: settings are key=value,key=value; a value with a comma is quoted"
            )
        if key in LISTS:
            found[key] = (*_entries(found.get(key, ())), value)
        elif key in found:
            raise ValueError(f"{key} is given twice")
        else:
            found[key] = _value(key, value)
    return tuple(found.items())


def _value(key: str, text: str) -> Value:
    if not text:
        raise ValueError(f"{key} has no value")
    if key in _WHOLE:
        if not re.fullmatch(r"[1-9]\d{0,5}", text):
            raise ValueError(f"{key} is a whole number from 1, got {text}")
        return int(text)
    if key in _TRUTHS:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{key} is true or false, got {text}")
        return text.lower() == "true"
    if key in _SIZES:
        try:
            size = parse_bytes(text)
        except ValueError as error:
            raise ValueError(f"{key} is a size such as 64GB, got {text}") from error
        return size if key == "mem" else text
    return text


def _entries(value: Value) -> tuple[str, ...]:
    """The written forms of a value: one, or one for each entry of a list."""
    if isinstance(value, tuple):
        return value
    return (str(value).lower() if isinstance(value, bool) else str(value),)
