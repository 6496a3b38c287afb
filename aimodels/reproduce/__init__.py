"""Published figures beside ours: rows, statistics, tables, plots and scikit-learn baselines.

An experiment file's `published()` returns a list of `Row`; `aimodels reproduce FILE` measures them.
"""

from aimodels.reproduce.baselines import scikit_learn
from aimodels.reproduce.published import Row
from aimodels.reproduce.table import Measurement

__all__ = ["Measurement", "Row", "scikit_learn"]
