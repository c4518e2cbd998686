"""Finds the tilt series under a folder: what belongs together by a recipe, checked from headers."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryolithe_stream.batch.archive import by_names, number_of
from cryolithe_stream.batch.examine import examine, what_it_is
from cryolithe_stream.batch.names import Taken, safe_name
from cryolithe_stream.batch.patterns import Match, filled, found_by
from cryolithe_stream.batch.recipes import Layout, Recipe, shipped_recipes
from cryolithe_stream.batch.series import Facts, ListedFacts, Series
from cryolithe_stream.batch.tree import Skipped, Tree, walk
from cryolithe_stream.errors import InputError
from cryolithe_stream.run.inputs import require_here

STACKS = (".mrc", ".mrcs", ".st", ".ali")
_ALIKE = 10  # entries of one folder with one reason; more are told together
_ANOTHER = "another stack of its series is taken"


@dataclass(frozen=True, slots=True)
class Found:
    """A series that can be run, and what is known of it."""

    series: Series
    facts: Facts | ListedFacts


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found under `source` by a recipe; `tried` says how many series each recipe finds that was tried."""

    source: Path
    recipe: Recipe
    found: tuple[Found, ...]
    skipped: tuple[Skipped, ...]
    tried: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Candidate:
    path: str
    name: str
    order: int
    layout: Layout
    match: Match


@dataclass(slots=True, eq=False)
class _Search:
    """One tree under examination; what was read of a series is kept, as several recipes find the same.

    `refused` tells by path why stacks with an alignment cannot be run.
    """

    tree: Tree
    options: Mapping[str, Any]
    refused: dict[str, str] = field(default_factory=dict)
    _known: dict[object, tuple[Series, Facts | ListedFacts] | str] = field(default_factory=dict)

    def examined(self, series: Series) -> tuple[Series, Facts | ListedFacts] | str:
        """What `examine` says of a series, or names alone where it is elsewhere; or why it cannot be run."""
        key = (tuple(series.files().items()), repr(series.options))
        if key not in self._known:
            try:
                here = self.tree.sizes is None
                self._known[key] = examine(series, self.options) if here else by_names(self.tree, series)
            except InputError as error:
                self._known[key] = self.tells(require_here(series.stack), error.what)
        known = self._known[key]
        return known if isinstance(known, str) else (replace(known[0], name=series.name), known[1])

    def tells(self, stack: Path, otherwise: str) -> str:
        """What a file that is no series looks like, where it can be read; else the reason `otherwise`."""
        return what_it_is(stack, otherwise) if self.tree.sizes is None else otherwise


def discover_series(
    source: Path | Tree, recipe: Recipe | None = None, options: Mapping[str, Any] | None = None
) -> Discovery:
    """Every tilt series under a folder, or in an entry's tree, by a recipe or by the shipped one that finds most.

    `options` are fields of `RunOptions` that hold for every series; `halves` that is False leaves half stacks out. Each
    series is read as `run` reads it, but for its frames; of one that is elsewhere names alone are known, and an entry
    with a recipe of its own is searched by that. Names are paths from the source, all apart.
    Raises MissingFileError or InputError for the source.
    """
    tree = source if isinstance(source, Tree) else walk(source)
    if tree.sizes is not None and recipe is None:
        own = f"empiar-{number_of(tree.root)}"
        recipe = next((known for known in shipped_recipes() if known.name == own), None)
    search = _Search(tree, options or {})
    recipes = [recipe] if recipe else [known for known in shipped_recipes() if known.choose != "by-name"]
    results = [(candidate, *_apply(search, candidate, named=recipe is not None)) for candidate in recipes]
    chosen, found, skipped = max(results, key=lambda result: _score(*result[1:]))
    skipped = skipped | _others(search, chosen, found, skipped)
    expected = {_ANOTHER, *(reason for _, reason in chosen.ignore)}
    finders = {_path(tree, entry): other.name for other, entries, _ in reversed(results) for entry in entries}
    reasons = [
        Skipped(path, _plain(tree, path, reason, "" if reason in expected else finders.get(path, "")))
        for path, reason in skipped.items()
    ]
    told = sorted(_together([*tree.skipped, *reasons], expected), key=lambda entry: _natural(entry.path))
    return Discovery(
        tree.root, chosen, tuple(found), tuple(told), {recipe.name: len(series) for recipe, series, _ in results}
    )


def _score(found: Sequence[Found], skipped: Mapping[str, str]) -> tuple[int, int, int, int]:
    """How well a recipe fits: most series, then alignments, then halves; without any, most that looks like some."""
    aligned = sum(bool(entry.facts.alignment_from) for entry in found)
    halves = sum(entry.series.odd is not None for entry in found)
    return len(found), aligned, halves, 0 if found else len(skipped)


def _apply(search: _Search, recipe: Recipe, *, named: bool) -> tuple[list[Found], dict[str, str]]:
    """The series that a recipe finds, and by path why others are none.

    A stack whose program's own files were refused is not found after all by a general recipe that does not know them,
    unless that was `named`.
    """
    refused = search.refused if recipe.choose == "last" and not named else {}
    groups: dict[str, list[_Candidate]] = {}
    for candidate in _candidates(search.tree, recipe):
        groups.setdefault(candidate.name, []).append(candidate)
    found: list[Found] = []
    skipped: dict[str, str] = {}
    stacks: dict[str, str] = {}
    taken = Taken()
    for name in sorted(groups, key=_natural):
        one = _one_of(search, groups[name], refused, stacks, skipped)
        if one is None:
            continue
        halves = one.series.odd is not None or bool({**search.options, **one.series.options}.get("halves"))
        path = str(Path(_path(search.tree, one)).with_suffix(""))
        unique = taken.free([safe_name(name), safe_name(path)], halves=halves)
        found.append(Found(replace(one.series, name=unique), one.facts))
    return found, skipped


def _one_of(
    search: _Search,
    candidates: Sequence[_Candidate],
    refused: Mapping[str, str],
    stacks: dict[str, str],
    skipped: dict[str, str],
) -> Found | None:
    """The series that several stacks of one name are: the first that can be run; why not the others is `skipped`.

    `stacks` holds files that are series already, by their real paths.
    """
    found: Found | None = None
    for candidate in sorted(candidates, key=lambda c: (c.order, c.path)):
        if found is not None:
            if not candidate.layout.skip:
                skipped[candidate.path] = _ANOTHER
            continue
        result = refused.get(candidate.path) or _series(search, candidate)
        if isinstance(result, str):
            skipped[candidate.path] = result
            if candidate.layout.skip or candidate.layout.roles.get("alignment"):
                search.refused.setdefault(candidate.path, result)
            continue
        other = stacks.setdefault(os.path.realpath(require_here(result.series.stack)), candidate.path)
        if other == candidate.path:
            found = result
        else:
            skipped[candidate.path] = f"the same file as {other}"
    return found


def _candidates(tree: Tree, recipe: Recipe) -> list[_Candidate]:
    """Files that a layout of the recipe takes for stacks: of several layouts the first whose requirements are met."""
    endings = tuple({pattern.ending for layout in recipe.layouts for pattern in layout.stack})
    return [
        candidate
        for path in tree.paths()
        if path.endswith(endings) and not recipe.ignored(path.rpartition("/")[2])
        if (candidate := _candidate(tree, recipe, path)) is not None
    ]


def _candidate(tree: Tree, recipe: Recipe, path: str) -> _Candidate | None:
    for order, layout in enumerate(recipe.layouts):
        for number, pattern in enumerate(layout.stack):
            match = pattern.match(path)
            if match is None or any(len(found_by(tree, text, match)) != 1 for text in layout.requires):
                continue
            name = match.placed(filled(layout.name, match.values))
            return _Candidate(path, name, 100 * order + number, layout, match)
    return None


def _series(search: _Search, candidate: _Candidate) -> Found | str:
    """A series that can be run, or the reason why it cannot."""
    layout, match, root = candidate.layout, candidate.match, search.tree.root
    if layout.skip:
        return search.tells(root / candidate.path, layout.skip) if candidate.path.endswith(STACKS) else layout.skip
    if beside := _leading_out(search.tree, candidate):
        return f"{beside}, which belongs to it, is a link that leads out of the source"
    files: dict[str, Path] = {}
    for role, patterns in layout.roles.items():
        hits = next((hits for text in patterns if (hits := found_by(search.tree, text, match))), [])
        if len(hits) > 1:
            return f"ambiguous: {len(hits)} files could be its {role}, among them {hits[0]} and {hits[1]}"
        if hits:
            files[role] = root / hits[0]
    refused = {**layout.options, **search.options}.get("halves") is False
    if refused or ("odd" in files) != ("even" in files):
        files = {role: path for role, path in files.items() if role not in ("odd", "even")}
    series = Series(candidate.name, root / candidate.path, options=layout.options, beside=(), **files)
    result = search.examined(series)
    return result if isinstance(result, str) else Found(*result)


def _leading_out(tree: Tree, candidate: _Candidate) -> str:
    """A link out of the source that reading would follow: of the stack's name, or in an alignment's folder."""
    folder, _, name = candidate.path.rpartition("/")
    stem = name.rpartition(".")[0].removesuffix("_ali")
    patterns = candidate.layout.roles.get("alignment", ())
    whole = any(text == "." or text.endswith("/") for text in patterns)
    beside = [link for link in tree.outward.get(folder, ()) if whole or link.startswith(f"{stem}.")]
    return beside[0] if beside else ""


def _others(search: _Search, recipe: Recipe, found: Sequence[Found], known: Mapping[str, str]) -> dict[str, str]:
    """By path why files that have the names of stacks are none, where no layout of the recipe took them."""
    tree = search.tree
    files = (path for entry in found for path in entry.series.files().values())
    used = {str(require_here(path).relative_to(tree.root)) for path in files}
    rest = [path for path in tree.paths() if path.endswith(STACKS) and path not in used and path not in known]
    missing = f"no layout of the recipe {recipe.name} fits: what belongs to it is missing, or elsewhere"
    reasons = {}
    for path in rest:
        ignored = recipe.ignored(path.rpartition("/")[2])
        reasons[path] = ignored or search.tells(tree.root / path, missing)
    return reasons


def _path(tree: Tree, entry: Found) -> str:
    return str(require_here(entry.series.stack).relative_to(tree.root))


def _plain(tree: Tree, path: str, reason: str, finder: str) -> str:
    """A reason with paths from the source, the stack's own left out, and the recipe that does find it."""
    text = reason.replace(f"{tree.root}{os.sep}", "").replace(f"stack {path} ", "it ")
    return f"{text} (the recipe {finder} finds it)" if finder else text


def _together(entries: Sequence[Skipped], expected: Collection[str]) -> list[Skipped]:
    """Entries with many of one reason in one folder told as one; those `expected` in all folders below the first."""
    alike: dict[tuple[str, str], list[Skipped]] = {}
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        reason = entry.reason.replace(entry.path, "the file").replace(name, "the file")
        alike.setdefault((folder.partition("/")[0] if reason in expected else folder, reason), []).append(entry)
    told: list[Skipped] = []
    for (folder, reason), group in alike.items():
        if len(group) <= _ALIKE:
            told += group
        else:
            told.append(Skipped(f"{folder}/" if folder else "./", f"{len(group)} files, each: {reason}"))
    return told


def _natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in names by value."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", text)]
