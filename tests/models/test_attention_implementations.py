"""Each model of attention takes its attention's implementation; test_attention compares them."""

import jax
import jax.numpy as jnp
import pytest

from aimodels.errors import UserError
from aimodels.models import (
    BERT,
    GPT,
    T5,
    EncoderDecoderTransformer,
    TransformerClassifier,
    VisionTransformer,
)

IDS, IMAGES = jnp.zeros((2, 9), jnp.int32), jnp.zeros((2, 8, 8, 3))
TARGET = {"decoder_inputs": IDS}
SMALL = {"width": 16, "num_layers": 1, "num_heads": 2}
CASES = {
    "gpt": (GPT(20, **SMALL), IDS, {}),
    "bert": (BERT(vocabulary=20, **SMALL), IDS, {}),
    "t5": (T5(20, **SMALL), IDS, TARGET),
    "translator": (EncoderDecoderTransformer(20, **SMALL), IDS, TARGET),
    "classifier": (TransformerClassifier(5, vocabulary=20, **SMALL), IDS, {}),
    "vit": (VisionTransformer(5, patch_size=4, **SMALL), IMAGES, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_model_has_the_field(case):
    model, inputs, arguments = CASES[case]

    def run(implementation):
        chosen = model.clone(attention_implementation=implementation)
        return jax.eval_shape(chosen.init, jax.random.key(0), inputs, **arguments)

    assert run("xla") == run("direct")
    with pytest.raises(UserError, match="unknown implementation of attention 'flash'"):
        run("flash")
