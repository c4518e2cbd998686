"""What is wrong with a configuration, in sentences that name the key."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from cryolithe_stream.errors import CryolitheError, InputError

_LONGEST = 100


class TrainingError(CryolitheError):
    """The training cannot go on: its numbers are no longer finite (exit code 1)."""


def sentences(error: ValidationError, model: type[BaseModel]) -> InputError:
    """All faults that pydantic found as one InputError, each with its key, what was got and what is expected."""
    faults = [_fault(detail, model) for detail in error.errors(include_url=False)]
    if len(faults) == 1:
        return InputError(f"the configuration is wrong: {faults[0]}", fix="Correct it and start again")
    return InputError(f"{len(faults)} keys are wrong: {'; '.join(faults)}", fix="Correct them together")


def _fault(detail: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    got = repr(detail["input"])
    got = got if len(got) <= _LONGEST else got[:_LONGEST] + "…"
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return f"{key}: there is no such key{_suggestion(detail['loc'], model)}"
        case "missing":
            return f"{key}: is needed and was not given"
        case "literal_error":
            return f"{key}: got {got}, expected {context['expected']}"
        case "value_error":
            return f"{key}: {context['error']}" if key else str(context["error"])
    return f"{key}: got {got}, {detail['msg'].replace('Input should', 'it should')}"


def _suggestion(place: tuple[Any, ...], model: type[BaseModel]) -> str:
    """` (did you mean …?)` for the closest key of the section, or nothing."""
    section: Any = model
    for part in place[:-1]:
        if isinstance(part, str):
            section = _section(section.model_fields[part].annotation)
    close = get_close_matches(str(place[-1]), list(section.model_fields), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _section(annotation: Any) -> type[BaseModel]:
    """The model inside an annotation such as `Section | None` or `tuple[Section, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(found for inner in annotation.__args__ if (found := _inner(inner)) is not None)


def _inner(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
