"""Opens networks whose code is the user's own: runs the code that was recorded with the weights, and checks what it gives.

The code is run, so open only models whose writer you trust. Every file is compared with the digest in the model's spec first;
that the spec is the one of the model's key is checked where the project itself opens a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from .network import ModuleNetwork
from .own_code import CodeError, OwnCode, code_from, describe
from .transform import shape_of

WITHIN = 1e-3  # what another CPU may change of a probability; another network gives other probabilities altogether

Build = Callable[[Callable[..., Any], Mapping[str, Any]], object]


def open_recorded(description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], build: Build) -> ModuleNetwork:
    """The network that `build` makes with the recorded function, the weights put in.

    Raises ValueError where the code is not what the spec names, fails, gives no module, or one of another shape.
    """
    code = recorded_code(description)
    labels = description["labels"]
    try:
        with torch.random.fork_rng(devices=[]), code.importable():
            torch.default_generator.manual_seed(0)
            module = _require_module(build(code.load(), description))
            module.load_state_dict(dict(tensors))
    except CodeError:
        raise
    except (Exception, SystemExit) as error:
        raise CodeError(f"the recorded code of {description['key'][:12]} cannot be run ({describe(error)})") from error
    return ModuleNetwork(module, len(labels), code.importable, shape_of(description["preprocessing"]))


def _require_module(found: object) -> torch.nn.Module:
    if not isinstance(found, torch.nn.Module):
        raise CodeError(f"the recorded code gave {type(found).__name__}; expected a torch.nn.Module")
    return found


def recorded_code(description: Mapping[str, Any]) -> OwnCode:
    """The code of a description, its files as the spec names them. Raises ValueError."""
    identity = description["spec"]["code"]
    code = code_from(identity["entry"], description["code"])
    found = code.identity
    if changed := sorted(name for name in {**identity, **found} if identity.get(name) != found.get(name)):
        raise CodeError(f"the code of {description['key'][:12]} is not what its key names: {', '.join(changed)}")
    return code


def require_same(description: Mapping[str, Any], found: np.ndarray) -> None:
    """Raises ValueError unless the example rows get the probabilities that they got when the model was trained.

    Numbers that a module keeps outside of its parameters and buffers are lost with the process that trained it.
    """
    told = np.asarray(description.get("check") or [], dtype=np.float64)
    if told.shape != found.shape or (np.abs(told - found) > WITHIN).any():
        raise CodeError(
            f"the network of {description['key'][:12]}, built again by its recorded code, gives other probabilities than it "
            "gave when it was trained: it keeps numbers outside of its parameters; keep them with register_buffer"
        )
