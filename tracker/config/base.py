"""What every part of params.yaml is: frozen and strict, its faults told as sentences with their place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from tracker.shown import meant, nearest

EXPECTED = {
    "bool_type": "expected true or false",
    "float_type": "expected a number",
    "int_type": "expected a whole number",
    "invalid_key": "expected a name, in quotes if it looks like something else",
    "mapping_type": "expected entries, name: value",
    "model_type": "expected entries, name: value",
    "string_type": "expected text, in quotes if it looks like something else",
    "tuple_type": "expected a list",
}
UNKNOWN = "unknown_entry"


class Part(BaseModel):
    """Entries that belong together; none can be changed, and none is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="wrap")
    @classmethod
    def _tell_names(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """What an unknown entry could have been is known here alone."""
        try:
            return handler(value)
        except ValidationError as error:
            known = [entry.alias or name for name, entry in cls.model_fields.items()]
            told = [_told(item, known) for item in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(error.title, told) from None


def _told(item: Any, known: Collection[str]) -> InitErrorDetails:
    """A fault as pydantic takes it; of an entry that is not known here, with the names that are."""
    kind, loc = item["type"], item["loc"]
    if kind == "extra_forbidden" and len(loc) == 1:
        close = nearest(str(loc[0]), known)
        told = f"did you mean {close}?" if close else f"there are {', '.join(known)}"
        first, *inner = str(loc[0]).split(".")
        if inner and first in known:  # as messages and pages name an entry
            opened = "".join(f"{{{name}: " for name in inner)
            told = f"a dot means that it stands inside, as in {first}: {opened}...{'}' * len(inner)}"
        kind = PydanticCustomError(UNKNOWN, f"unknown entry; {told}")
    elif kind == UNKNOWN:
        kind = PydanticCustomError(UNKNOWN, item["msg"])
    return InitErrorDetails(type=kind, loc=loc, input=item["input"], ctx=item.get("ctx", {}))


def raise_faults(faults: Mapping[str, bool]) -> None:
    """One ValueError for every fault that was found, if any was."""
    present = [fault for fault, found in faults.items() if found]
    if present:
        raise ValueError("\n".join(present))


def one_of(names: Collection[str], found: Any) -> str:
    """The value, where it is one of the names. Raises ValueError that lists them."""
    if isinstance(found, str) and found in names:
        return found
    *others, last = map(repr, names)
    listed = f"{', '.join(others)} or {last}" if others else last
    raise ValueError(f"expected {listed}, found {found!r}{meant(found, names)}")


def faults_of(error: ValidationError) -> Iterator[str]:
    """What pydantic found, one sentence per fault, beginning with its place."""
    for item in error.errors(include_url=False):
        if item["type"] == "default_factory_not_called":  # a consequence of another fault
            continue
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"] if str(part)[:1] != "<"]
        place = "".join(parts).removeprefix(".")
        for line in _message(item["type"], item["msg"], item["input"]).splitlines():
            yield f"{place}: {line}" if place else line


def _message(kind: str, message: str, found: Any) -> str:
    if kind == UNKNOWN:
        return message
    if kind == "missing":
        return "missing"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    expected = EXPECTED.get(kind, message.replace("Input should be", "expected"))
    near = meant(found, re.findall("'([^']+)'", message)) if kind == "literal_error" else ""
    return expected if isinstance(found, Mapping) else f"{expected}, found {found!r}{near}"
