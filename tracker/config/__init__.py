"""params.yaml as one frozen Config; all faults are reported together, each with its place."""

from tracker.config.checks import pruner_settings, space_faults, value_faults
from tracker.config.forms import FORBID, Choice, Entry, Fixed, Forbid, Range
from tracker.config.parts import (
    BestModels,
    Categorical,
    Compare,
    Confirm,
    Data,
    Numeric,
    Preprocessing,
    Split,
    Training,
)
from tracker.config.read import bare_dates, load_config, read_yaml
from tracker.config.refinements import Refinement
from tracker.config.settings import Config, parse_config
from tracker.config.study import Study

__all__ = [
    "FORBID",
    "BestModels",
    "Categorical",
    "Choice",
    "Compare",
    "Config",
    "Confirm",
    "Data",
    "Entry",
    "Fixed",
    "Forbid",
    "Numeric",
    "Preprocessing",
    "Range",
    "Refinement",
    "Split",
    "Study",
    "Training",
    "bare_dates",
    "load_config",
    "parse_config",
    "pruner_settings",
    "read_yaml",
    "space_faults",
    "value_faults",
]
