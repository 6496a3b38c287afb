"""Blocks that models are built from: pure Flax Linen modules.

Each has `dtype` (of the computation) and `param_dtype` as fields. Shapes in docstrings: B batch,
T time or tokens, H W image, C channels, D width, N heads, K head width, V vocabulary; *S stands for
any number of spatial axes.
"""

from aimodels.modules.convolution import Conv
from aimodels.modules.dense import MLP, Dense, activation
from aimodels.modules.dropout import Dropout

__all__ = ["MLP", "Conv", "Dense", "Dropout", "activation"]
