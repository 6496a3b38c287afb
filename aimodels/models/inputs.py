"""What the models have in common in reading their inputs."""

from typing import Any

import jax
import jax.numpy as jnp

from aimodels.errors import UserError


def fixed_size(model: str, inputs: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """The inputs of a model to which every example has the same size."""
    if lengths is not None:
        raise UserError(
            f"{model} reads inputs of one size, and this data has lengths: use"
            " RecurrentClassifier or TransformerClassifier, or drop the lengths from the data."
        )
    return inputs


def with_channels(inputs: jax.Array, axes: int) -> jax.Array:
    """Inputs [B, *S] or [B, *S, C], S being so many axes, -> [B, *S, C]; a missing C is 1."""
    if inputs.ndim == axes + 1:
        return inputs[..., None]
    if inputs.ndim == axes + 2:
        return inputs
    raise UserError(
        f"inputs have shape {inputs.shape}; this model takes {axes} axes between the batch and the"
        " channels, which may be left out when there is one."
    )


def as_images(model: str, inputs: jax.Array, lengths: jax.Array | None, dtype: Any) -> jax.Array:
    """The inputs [B, H, W, C] or [B, H, W] of a model of images -> [B, H, W, C] in its dtype."""
    images = with_channels(fixed_size(model, inputs, lengths), axes=2).astype(dtype)
    if 0 in images.shape[1:]:
        raise UserError(f"{model} takes images [B, H, W, C] with pixels, got {images.shape}")
    return images


def as_clips(model: str, inputs: jax.Array, lengths: jax.Array | None, dtype: Any) -> jax.Array:
    """The inputs [B, T, H, W, C] or [B, T, H, W] of a model of video -> [B, T, H, W, C]."""
    return with_channels(fixed_size(model, inputs, lengths), axes=3).astype(dtype)


def masked_mean(values: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """The mean over time of values [B, T, D], over the first `lengths` [B] of them -> [B, D].

    A length of 0 gives zeros.
    """
    if lengths is None:
        return values.mean(axis=1)
    valid = (jnp.arange(values.shape[1]) < lengths[:, None])[..., None]
    total = jnp.where(valid, values, 0).sum(axis=1)
    return total / jnp.maximum(lengths, 1)[:, None].astype(values.dtype)
