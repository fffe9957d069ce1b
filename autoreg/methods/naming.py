"""Finding layers by name, with a helpful refusal."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from autoreg.errors import InputError
from autoreg.methods.state import weighted_layers

if TYPE_CHECKING:
    from torch import nn


def layer_called(model: nn.Module, name: str) -> nn.Module:
    """Return the weighted layer of that name.

    Raises:
        InputError: if there is none; the message has the nearest right name.
    """
    layers = dict(weighted_layers(model))
    if name in layers:
        return layers[name]
    near = difflib.get_close_matches(name, layers, 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(layers) or 'none'}"
    raise InputError(f"no weighted layer is called {name!r}{hint}")
