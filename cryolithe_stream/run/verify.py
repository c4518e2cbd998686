"""Finished tomograms against the checksums that were recorded when they were made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryolithe_stream.errors import FormatError, UnsupportedError
from cryolithe_stream.geometry import Box
from cryolithe_stream.plan import BlockPlan
from cryolithe_stream.run.checksums import shard_name
from cryolithe_stream.run.progress import Progress, Silent
from cryolithe_stream.store import Place, PlaceLike, Tomogram, box_checksum, open_tomogram, place_of

_OLD = "Reconstruct it again to have them"


@dataclass(frozen=True, slots=True)
class Damage:
    """A block of level 0 (`index` in the plan) or a shard of a higher level (z, y, x) that is not as it was written."""

    level: int
    index: tuple[int, ...]
    box: Box
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in a tomogram: how many pieces were read, and which are damaged."""

    path: Place
    n_checked: int
    damages: tuple[Damage, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON."""
        found = [{"level": d.level, "voxels": str(d.box), "reason": d.reason} for d in self.damages]
        return {"path": str(self.path), "checked": self.n_checked, "damaged": found}


def verify_tomogram(path: PlaceLike, progress: Progress | None = None) -> Verification:
    """Read every block and shard of the pyramid of a tomogram, here or at an address, and compare their checksums.

    Raises MissingFileError, FormatError for what is no finished tomogram of this program, UnsupportedError for MRC
    files and tomograms of versions that recorded no checksums.
    """
    path = place_of(path)
    progress = progress or Silent()
    pieces = list(_pieces(open_verifiable(path)))
    progress.phase(f"verifying {path.name}", len(pieces), "pieces")
    damages = []
    for damage, recorded in pieces:
        reason = _fault(path, damage, recorded)
        if reason:
            damages.append(Damage(damage.level, damage.index, damage.box, reason))
        progress.advance(1)
    return Verification(path, len(pieces), tuple(damages))


def still_damaged(tomogram: Tomogram, found: Sequence[Damage]) -> list[Damage]:
    """Those damages that are still there: the tomogram may have been repaired or replaced since they were found."""
    known = {(damage.level, damage.index): damage.box for damage in found}
    damages = []
    for piece, recorded in _pieces(tomogram):
        if known.get((piece.level, piece.index)) == piece.box and (reason := _fault(tomogram.path, piece, recorded)):
            damages.append(replace(piece, reason=reason))
    return damages


def open_verifiable(path: Place) -> Tomogram:
    """A finished tomogram with checksums; raises as `verify_tomogram` does."""
    if path.suffix == ".mrc":
        raise UnsupportedError(f"{path} is an MRC file, which records no checksums", fix="Name an .ome.zarr")
    tomogram = open_tomogram(path)
    if not tomogram.finished:
        raise FormatError(f"{path} is unfinished", fix="Finish its run with the same command")
    checksums = tomogram.attributes.get("checksums")
    if not isinstance(checksums, dict) or not checksums.get("blocks") or "plan" not in tomogram.attributes:
        raise UnsupportedError(f"{path} was made by a version that recorded no checksums", fix=_OLD)
    return tomogram


def _pieces(tomogram: Tomogram) -> Iterator[tuple[Damage, str | None]]:
    """Everything that can be damaged, with the checksum that was recorded."""
    checksums: Mapping[str, Any] = tomogram.attributes["checksums"]
    plan = BlockPlan.from_json(tomogram.attributes["plan"])
    if len(checksums["blocks"]) != len(plan):
        text = f"{tomogram.path} records {len(checksums['blocks'])} checksums of {len(plan)} blocks"
        raise FormatError(text, fix=_OLD)
    for block, recorded in zip(plan, checksums["blocks"], strict=True):
        yield Damage(0, (block.index,), block.box, ""), recorded
    for level in range(1, tomogram.n_levels):
        known = checksums["levels"].get(str(level), {})
        for index in tomogram.layout.shard_indices(level):
            box = tomogram.layout.shard_box(level, index)
            yield Damage(level, index, box, ""), known.get(shard_name(index))


def _fault(path: Place, piece: Damage, recorded: str | None) -> str:
    """Why a piece is damaged; empty when it is not."""
    if recorded is None:
        return "its checksum was not recorded"
    try:
        found = box_checksum(path, piece.box, level=piece.level)
    except FormatError as error:
        return error.what
    return "" if found == recorded else f"its checksum is {found}, {recorded} was written"
