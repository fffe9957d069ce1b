"""What each layer loses at each level, and the levels that lose least within a budget.

`Dense` caches the outputs of the whole network, `curves` measures one layer at one level at a time against them,
`program` chooses a level per layer as if the losses added up, and `additivity` says how far they do. `program` loads
without torch; tasks and stores are known to `autoreg.trial.sensitivity` alone.
"""

from autoreg.sensitivity.additivity import TRUSTED_ABOVE, Additivity, additivity, within_budget
from autoreg.sensitivity.curve import Curve
from autoreg.sensitivity.program import Assignment, program, programs

__all__ = ["TRUSTED_ABOVE", "Additivity", "Assignment", "Curve", "additivity", "program", "programs", "within_budget"]
