"""Blocks that models are built from: pure Flax Linen modules.

Each has `dtype` (of the computation) and `param_dtype` as fields. Shapes in docstrings: B batch,
T time or tokens, H W image, C channels, D width, N heads, K head width, V vocabulary; *S stands for
any number of spatial axes.
"""

from aimodels.modules.conv_norm import ConvNormActivation
from aimodels.modules.convolution import Conv, vmapped
from aimodels.modules.dense import MLP, Dense, activation
from aimodels.modules.dropout import Dropout
from aimodels.modules.embeddings import Embedding, PatchEmbedding
from aimodels.modules.identity import Identity
from aimodels.modules.norms import BatchNorm, FrozenBatchNorm, GroupNorm, LayerNorm, RMSNorm
from aimodels.modules.pooling import adaptive_avg_pool, avg_pool, ceil_padding, max_pool
from aimodels.modules.recurrent import GRU, LSTM, RNN
from aimodels.modules.recurrent_scan import LSTMState

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "BatchNorm",
    "Conv",
    "ConvNormActivation",
    "Dense",
    "Dropout",
    "Embedding",
    "FrozenBatchNorm",
    "GroupNorm",
    "Identity",
    "LSTMState",
    "LayerNorm",
    "PatchEmbedding",
    "RMSNorm",
    "activation",
    "adaptive_avg_pool",
    "avg_pool",
    "ceil_padding",
    "max_pool",
    "vmapped",
]
