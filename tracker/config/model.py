"""The section `model` of params.yaml: the family, code of the user's own, whose weights a network begins with."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tracker.config.base import Part, raise_faults
from tracker.hyperparameters import FAMILIES
from tracker.shown import meant

ENTRY = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
TRANSFERRED = tuple(name for name, row in FAMILIES.items() if row.metrics == "ours" and not row.fitted_once)


class Transfer(Part):
    """Whose weights training begins with: `from`, a model folder, a .safetensors file, or MLflow's models:/NAME@ALIAS.

    `head` says whether the output layer begins anew; auto: unless the parent has the very classes.
    """

    source: str = Field(min_length=1, max_length=1000)
    head: Literal["auto", "new", "keep"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _from_is_a_word_of_python(cls, entries: Any) -> Any:
        if not isinstance(entries, dict):
            return entries
        if "from" not in entries and "source" not in entries:
            odd = next((str(name) for name in entries if name != "head"), "")
            near = f"{odd}: unknown entry{meant(odd, ['from', 'head'])}\n" if odd else ""
            raise ValueError(
                f"{near}from: missing; say whose weights: a model folder, a .safetensors file, or models:/NAME@ALIAS"
            )
        return {"source" if name == "from" else name: value for name, value in entries.items()}


class Model(Part):
    """The family of networks; `entry` names the user's own code, as `module:function`."""

    family: str = "mlp"
    entry: str | None = None
    transfer: Transfer | None = None

    @field_validator("family")
    @classmethod
    def _known(cls, family: str) -> str:
        if family not in FAMILIES:
            raise ValueError(f"expected {' or '.join(map(repr, FAMILIES))}, found {family!r}{meant(family, FAMILIES)}")
        return family

    @model_validator(mode="after")
    def _entry_fits(self) -> Model:
        own, entry = FAMILIES[self.family].entry is not None, self.entry
        faults = {
            f"family {self.family} needs entry: module:function, such as loop:fit": own and entry is None,
            f"entry belongs to a family with code of your own; {self.family} has none": not own and entry is not None,
            f"entry: expected module:function, such as loop:fit for fit() in loop.py, found {entry!r}": (
                own and entry is not None and not re.fullmatch(ENTRY, entry)
            ),
            f"transfer: family {self.family} does not begin with weights of ours; take it out": (
                self.transfer is not None and self.family not in TRANSFERRED
            ),
        }
        raise_faults(faults)
        return self
