"""Normalisation layers: Flax's, with PyTorch's defaults, and a BatchNorm that equals PyTorch's.

`epsilon` differs between references, and a parity test sees it: PyTorch 1e-5, Flax 1e-6, Keras
1e-3, BERT 1e-12, Llama 1e-6 or 1e-5. Here the default is 1e-5; a model sets its paper's.

The variance is computed as E[(x - E x)²]. Flax's default, E[x²] - (E x)², is one pass less but
loses digits when the mean is large: at mean 1,000 and deviation 1, float32 leaves it one digit.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.modules.blocks import averaged, devices_of, is_frozen


class LayerNorm(nn.LayerNorm):
    """Ba et al. 2016, over the last axis: parameters scale [D], bias [D]."""

    epsilon: float = 1e-5
    dtype: Any = jnp.float32
    use_fast_variance: bool = False


class RMSNorm(nn.RMSNorm):
    """Zhang & Sennrich 2019: x / √(E[x²] + ε) · scale, over the last axis; no mean, no bias."""

    epsilon: float = 1e-5
    dtype: Any = jnp.float32


class GroupNorm(nn.GroupNorm):
    """Wu & He 2018: channels in `num_groups` groups, each normalised over the group and space."""

    epsilon: float = 1e-5
    dtype: Any = jnp.float32
    use_fast_variance: bool = False


class BatchNorm(nn.Module):
    """Ioffe & Szegedy 2015: normalise each channel over the batch and space.

    In training by the batch's own mean and (biased) variance, else by running averages, which
    live in the collection "batch_stats" as mean [C] and var [C]; parameters scale [C], bias [C]:
    the names of `flax.linen.BatchNorm`. Like PyTorch's and unlike Flax's, the running variance
    averages the unbiased estimate, n / (n - 1) times the biased one, n = B·H·W. Where its mean is
    frozen (`blocks.freezing`), training is as evaluation.

    Under `jit` over a sharded batch, and where training runs under `pmap`, the statistics are those
    of the global batch by themselves; under a `pmap` or `shard_map` of your own give `axis_name`.

    Attributes:
        use_running_average: True in evaluation; may be given in the call instead.
        momentum: what the running average keeps: 0.9 is PyTorch's `momentum=0.1`.
        epsilon: added to the variance.
        unbiased: the running variance is that of PyTorch (True) or of Flax and Keras (False).
        use_scale: multiply by a learned scale.
        use_bias: add a learned bias.
        axis_name: the mapped axis or axes to average the statistics over.
        scale_init: zeros for the last norm of a residual block (Goyal et al. 2017).
        bias_init: of the bias.
        dtype: of the result; the statistics are float32, or float64 where the inputs are.
        param_dtype: of the parameters.
    """

    use_running_average: bool | None = None
    momentum: float = 0.9
    epsilon: float = 1e-5
    unbiased: bool = True
    use_scale: bool = True
    use_bias: bool = True
    axis_name: str | tuple[str, ...] | None = None
    scale_init: Any = nn.initializers.ones_init()
    bias_init: Any = nn.initializers.zeros_init()
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, use_running_average: bool | None = None) -> jax.Array:
        """[B, *S, C] -> [B, *S, C]; in training "batch_stats" must be mutable in `apply`."""
        use_running_average = nn.merge_param(
            "use_running_average", self.use_running_average, use_running_average
        )
        channels = inputs.shape[-1]
        kept = jnp.promote_types(self.param_dtype, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), kept)
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,), kept)
        values = inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))
        if use_running_average or is_frozen((*self.path, "mean")):
            mean, variance = running_mean.value, running_var.value
        else:
            axes = tuple(range(inputs.ndim - 1))
            count = inputs.size // channels
            mean = averaged(values.mean(axes), self.axis_name)
            count = count * devices_of(self.axis_name)
            variance = averaged(jnp.square(values - mean).mean(axes), self.axis_name)
            if not self.is_initializing():
                correction = count / max(count - 1, 1) if self.unbiased else 1.0
                keep = self.momentum
                running_mean.value = keep * running_mean.value + (1 - keep) * mean
                running_var.value = keep * running_var.value + (1 - keep) * correction * variance
        factor = jax.lax.rsqrt(variance + self.epsilon)
        if self.use_scale:
            factor = factor * self.param("scale", self.scale_init, (channels,), self.param_dtype)
        outputs = (values - mean) * factor
        if self.use_bias:
            outputs = outputs + self.param("bias", self.bias_init, (channels,), self.param_dtype)
        return outputs.astype(self.dtype)


class FrozenBatchNorm(nn.Module):
    """Batch normalisation that stays as it was trained: (x - mean) / √(var + ε) · scale + bias.

    All four, [C] each, are in the collection "batch_stats": nothing of it is a parameter. Detectors
    that start from a classifier's weights have it, since their batches are small (He et al. 2017;
    torchvision's FrozenBatchNorm2d).

    Attributes:
        epsilon: added to the variance.
        dtype: of the result.
        param_dtype: of what is kept.
    """

    epsilon: float = 1e-5
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[..., C] -> [..., C]."""
        shape, dtype = (inputs.shape[-1],), self.param_dtype
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, dtype).value
        variance = self.variable("batch_stats", "var", jnp.ones, shape, dtype).value
        scale = self.variable("batch_stats", "scale", jnp.ones, shape, dtype).value
        bias = self.variable("batch_stats", "bias", jnp.zeros, shape, dtype).value
        factor = scale * jax.lax.rsqrt(variance + self.epsilon)
        values = inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))
        return (values * factor + (bias - mean * factor)).astype(self.dtype)
