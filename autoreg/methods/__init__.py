"""Methods: one technique, one small class. Declaring them loads no torch; their mathematics does.

from autoreg.methods import Paper, log, method

@method("my_penalty", kind="regularizer", paper=Paper("Title", "Authors", 2024))
class MyPenalty:
    '''What it does, in one sentence.'''

    strength: float = log(1e-5, 1e-2)

    def loss(self, state):
        return self.strength * sum(w.square().mean() for _, w in state.weights())
"""

from autoreg.methods.base import HOOKS, method
from autoreg.methods.discovery import METHOD_KINDS, create, from_recipe, method_class, registry, spec_of, to_recipe
from autoreg.methods.state import State
from autoreg.methods.weights import weighted_layers
from autoreg.space.spec import Paper, choice, fixed, integer, log, slot, uniform

__all__ = [
    "HOOKS",
    "METHOD_KINDS",
    "Paper",
    "State",
    "choice",
    "create",
    "fixed",
    "from_recipe",
    "integer",
    "log",
    "method",
    "method_class",
    "registry",
    "slot",
    "spec_of",
    "to_recipe",
    "uniform",
    "weighted_layers",
]
