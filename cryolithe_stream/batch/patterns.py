"""Patterns of paths with placeholders: `{series}/{series}.st` finds stacks and names what belongs to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate

from cryolithe_stream.batch.tree import Tree

_TOKEN = re.compile(r"\{([a-z]+)\}|(\*)")
_WRONG = re.compile(r"[{}\[\]?\\]|\*\*")
_BASE = "base_"


@dataclass(frozen=True, slots=True)
class Match:
    """What a stack's path says: the folder that the pattern begins in, and what its placeholders stand for."""

    base: str
    values: Mapping[str, str]

    def placed(self, path: str) -> str:
        """A path that starts in the base, from the root."""
        return f"{self.base}/{path}" if self.base and path else self.base or path


@dataclass(frozen=True, slots=True)
class StackPattern:
    """A pattern that stacks are found with, at any depth; `ending` is what their names end in at least."""

    text: str
    ending: str
    expression: re.Pattern[str]

    @classmethod
    def of(cls, text: str) -> StackPattern:
        """A pattern from its text, in which a placeholder or `*` stands for a part of one name."""
        seen: set[str] = set()
        expression, at = f"(?:(?P<{_BASE}>.+)/)?", 0
        for token in _TOKEN.finditer(text):
            expression += re.escape(text[at : token.start()])
            name, at = token[1], token.end()
            if name is None:
                expression += "[^/]*"
            else:
                expression += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
                seen.add(name)
        tail = text[at:]
        return cls(text, tail, re.compile(expression + re.escape(tail), re.DOTALL))

    def match(self, path: str) -> Match | None:
        """The match of a relative path, or None."""
        if not path.endswith(self.ending) or (found := self.expression.fullmatch(path)) is None:
            return None
        values = found.groupdict()
        return Match(values.pop(_BASE) or "", values)


def placeholders(text: str) -> set[str]:
    """Names of the placeholders in a pattern."""
    return {token[1] for token in _TOKEN.finditer(text) if token[1]}


def pattern_fault(text: str) -> str:
    """Why a text is no pattern; empty when it is one."""
    if _WRONG.search(_TOKEN.sub(lambda token: "*" if token[2] else "x", text)):
        return "knows only {placeholders} in small letters, and * for part of a name"
    if text.startswith("/") or ".." in text.split("/"):
        return "leads out of the source"
    return "" if text and not any(ord(c) < 32 for c in text) else "is empty or holds control characters"


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its placeholders filled in; `*` stays."""
    return _TOKEN.sub(lambda token: values[token[1]] if token[1] else "*", text)


def found_by(tree: Tree, text: str, match: Match) -> list[str]:
    """Files, and for `.` or a text that ends in / the folder, that a pattern names beside a matched stack."""
    if text == "." or text.endswith("/"):
        path = match.placed("" if text == "." else filled(text[:-1], match.values))
        return [path or "."] if tree.has_folder(path) else []
    if "*" not in _TOKEN.sub(lambda token: "*" if token[2] else "", text):
        path = match.placed(filled(text, match.values))
        return [path] if tree.has_file(path) else []
    return _matching(tree, text, match)


def _matching(tree: Tree, text: str, match: Match) -> list[str]:
    """Files that a pattern with `*` names, sorted: each of its parts is looked up in its folder."""
    *folders, name = text.split("/")
    places = [match.base]
    for part in folders:
        wanted = _expression(part, match.values)
        places = [
            f"{place}/{folder}" if place else folder
            for place in places
            for folder in tree.folders.get(place, ())
            if wanted.fullmatch(folder)
        ]
    wanted = _expression(name, match.values)
    return sorted(
        f"{place}/{file}" if place else file
        for place in places
        for file in tree.files.get(place, ())
        if wanted.fullmatch(file)
    )


def _expression(part: str, values: Mapping[str, str]) -> re.Pattern[str]:
    text, at = "", 0
    for token in _TOKEN.finditer(part):
        text += re.escape(part[at : token.start()]) + (re.escape(values[token[1]]) if token[1] else "[^/]*")
        at = token.end()
    return re.compile(text + re.escape(part[at:]), re.DOTALL)


def name_glob(text: str) -> re.Pattern[str]:
    """The expression of a glob on file names."""
    return re.compile(translate(text))
