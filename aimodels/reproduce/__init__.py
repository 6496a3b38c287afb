"""Published figures beside ours: rows, statistics, tables, plots and scikit-learn baselines.

An experiment file's `published()` returns a list of `Row`; `aimodels reproduce FILE` measures them.
Its `comparison()`, if it has one, says how methods are compared over several tasks; its `systems()`
which systems of translation are compared on the same texts.
"""

from aimodels.reproduce.baselines import scikit_learn
from aimodels.reproduce.comparison import Comparison
from aimodels.reproduce.published import Row
from aimodels.reproduce.systems import Systems
from aimodels.reproduce.table import Measurement

__all__ = ["Comparison", "Measurement", "Row", "Systems", "scikit_learn"]
