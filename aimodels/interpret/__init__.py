"""Looking inside: where in an image a classifier sees what it says.

Pure functions that give a heat map [B, H, W] for one class of each image:

- `grad_cam` (Selvaraju et al. 2017): from the last maps of a convolutional network;
- `integrated_gradients` (Sundararajan et al. 2017): of each input number, adding up to the score;
- `occlusion` (Zeiler & Fergus 2014): how the score falls when a patch is hidden;
- `attention_rollout` (Abnar & Zuidema 2020): from the attention of a Transformer.

`deletion_score` measures any of them, and `aimodels explain` draws them for a trained run.
`layer_outputs` gives what lies inside as it is, for probes.

Functions that need nothing but outputs take `function`, images [B, H, W, C] -> scores [B, V]; those
that look at what lies between take a Linen `model` and its `variables`.
"""

from aimodels.interpret.attention import attention_rollout, rollout, token_map
from aimodels.interpret.deletion import deletion_score
from aimodels.interpret.grad_cam import feature_layers, grad_cam
from aimodels.interpret.inputs import integrated_gradients, occlusion, resized
from aimodels.interpret.layers import layer_outputs

__all__ = [
    "attention_rollout",
    "deletion_score",
    "feature_layers",
    "grad_cam",
    "integrated_gradients",
    "layer_outputs",
    "occlusion",
    "resized",
    "rollout",
    "token_map",
]
