"""Files of weights, read and written with NumPy alone: names -> arrays. Imports nothing above it.

What the names mean for a model of ours is said in `aimodels.models.state_dicts`.
"""

from aimodels.weights.files import read_weights
from aimodels.weights.safetensors_files import write_safetensors

__all__ = ["read_weights", "write_safetensors"]
