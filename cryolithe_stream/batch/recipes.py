"""Recipes: how the folders of a program or archive name what belongs to a tilt series, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from cryolithe_stream.batch.patterns import StackPattern, name_glob, pattern_fault, placeholders
from cryolithe_stream.errors import FormatError, InputError
from cryolithe_stream.read import read_mapping
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.parse import suggestion

KIND = "recipe 1"
Choice = Literal["first", "last", "by-name"]
ROLES = ("angles", "alignment", "mdoc", "odd", "even", "reference")
SERIES_FIELDS = ("stack", "output", "angles", "alignment", "mdoc", "odd", "even")
_LAYOUT_KEYS = ("stack", "name", "requires", *ROLES, "options", "skip")
_RECIPE_KEYS = ("cryolithe_stream", "about", "choose", "ignore", "series")
_FIX = "See the recipes that ship with the package for examples"


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which a series lies: patterns of its stack, and of each role's file in order of preference.

    `requires` are patterns that must each find exactly one file. With `skip` the series is told with that reason,
    and general recipes do not find it either: such layouts name folders that only their program makes.
    """

    stack: tuple[StackPattern, ...]
    name: str = "{series}"
    requires: tuple[str, ...] = ()
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    skip: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Layouts in order of preference, and names of files that look like stacks and are none.

    By itself a recipe is chosen `first`, `last` (when no other finds as many series) or not at all, only `by-name`.
    """

    name: str
    about: str
    layouts: tuple[Layout, ...]
    ignore: tuple[tuple[re.Pattern[str], str], ...] = ()
    choose: Choice = "first"

    def ignored(self, name: str) -> str:
        """Why a file of this name is no stack; empty when it may be one."""
        return next((reason for glob, reason in self.ignore if glob.match(name)), "")


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the package, those last that are chosen last or by name only."""
    return [recipe.name for recipe in shipped_recipes()]


@cache
def shipped_recipes() -> tuple[Recipe, ...]:
    """The recipes that ship with the package, those last that are chosen last or by name only."""
    folder = Path(str(files("cryolithe_stream.batch") / "recipes"))
    found = [read_recipe(path) for path in sorted(folder.glob("*.yaml"))]
    return tuple(sorted(found, key=lambda recipe: (get_args(Choice).index(recipe.choose), recipe.name)))


def find_recipe(spec: str) -> Recipe:
    """A shipped recipe by name, else the one in a file. Raises InputError for a name that no recipe has."""
    for recipe in shipped_recipes():
        if recipe.name == spec:
            return recipe
    if Path(spec).suffix in (".yaml", ".yml") or Path(spec).is_file():
        return read_recipe(Path(spec).expanduser())
    raise InputError(
        f"no recipe has the name {spec!r}{suggestion(spec, recipe_names())}",
        fix=f"Name a file (.yaml) or one of {', '.join(recipe_names())}",
    )


def read_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file, named after the file. Raises MissingFileError, or FormatError with every fault."""
    content = read_mapping(path, "the recipe", fix=_FIX)
    faults = [] if content.get("cryolithe_stream") == KIND else [f"it does not begin with 'cryolithe_stream: {KIND}'"]
    faults += [
        f"{key}: no entry has this name{suggestion(key, _RECIPE_KEYS)}" for key in content if key not in _RECIPE_KEYS
    ]
    about, choose, ignore = content.get("about", ""), content.get("choose", "first"), content.get("ignore", {})
    if not isinstance(about, str):
        faults.append("about: is not text")
    if choose not in get_args(Choice):
        faults.append(f"choose: is none of {', '.join(get_args(Choice))}")
    if not isinstance(ignore, dict) or not all(isinstance(text, str) for pair in ignore.items() for text in pair):
        faults.append("ignore: is no list of names with reasons")
        ignore = {}
    layouts = content.get("series")
    if not isinstance(layouts, list) or not layouts:
        faults.append("series: is no list of layouts")
        layouts = []
    parsed = [_layout(layout, f"series[{number}]", faults) for number, layout in enumerate(layouts, 1)]
    if faults:
        raise FormatError(f"the recipe {path} is wrong: {'; '.join(faults)}", fix=_FIX)
    globs = tuple((name_glob(glob), reason) for glob, reason in ignore.items())
    return Recipe(path.stem, " ".join(about.split()), tuple(parsed), globs, choose)


def _layout(content: Any, where: str, faults: list[str]) -> Layout:
    """A layout from its YAML; what is wrong with it is added to `faults`."""
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        faults.append(f"{where}: has no names with values")
        return Layout(())
    unknown = [key for key in content if key not in _LAYOUT_KEYS]
    faults += [f"{where}.{key}: no entry has this name{suggestion(key, _LAYOUT_KEYS)}" for key in unknown]
    texts = {key: _texts(content.get(key), f"{where}.{key}", faults) for key in ("stack", "requires", *ROLES)}
    if not texts["stack"]:
        faults.append(f"{where}.stack: is missing")
    name, skip, options = content.get("name", "{series}"), content.get("skip", ""), content.get("options", {})
    faults += [
        f"{where}.{key}: is not text" for key, text in (("name", name), ("skip", skip)) if not isinstance(text, str)
    ]
    common = set.intersection(*(placeholders(text) for text in texts["stack"])) if texts["stack"] else set()
    for key in ("name", "requires", *ROLES):
        for text in [str(name)] if key == "name" else texts[key]:
            if unknown_names := placeholders(text) - common:
                faults.append(f"{where}.{key}: the stack has no {{{sorted(unknown_names)[0]}}}")
    if not isinstance(options, dict):
        faults.append(f"{where}.options: has no names with values")
        options = {}
    faults += [f"{where}.options.{text}" for text in option_faults(options)]
    stacks = tuple(StackPattern.of(text) for text in texts["stack"]) if not faults else ()
    roles = {key: texts[key] for key in ROLES if texts[key]}
    return Layout(stacks, str(name), texts["requires"], roles, options, " ".join(str(skip).split()))


def _texts(value: Any, where: str, faults: list[str]) -> tuple[str, ...]:
    """Patterns: one text or a list of them."""
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in values):
        faults.append(f"{where}: is no pattern or list of patterns")
        return ()
    wrong = [f"{where}: {text!r} {fault}" for text in values if (fault := pattern_fault(text))]
    faults += wrong
    return () if wrong else tuple(values)


def option_faults(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with options that several series share, one clause for each fault."""
    own = [f"{key}: belongs to one series, not to the options" for key in options if key in SERIES_FIELDS]
    rest = {key: value for key, value in options.items() if key not in SERIES_FIELDS}
    if any(not isinstance(key, str) for key in rest):
        return [*own, "a name is not text"]
    try:
        RunOptions(**rest, stack="stack.mrc", output="output.ome.zarr")
    except InputError as error:
        own.append(error.what.split(": ", 1)[-1])
    return own
