"""Makes sentence_embeddings.npz: what transformers makes of sentences with MiniLM's files.

python tests/golden/make_sentence_embeddings.py FOLDER    # needs transformers

FOLDER has config.json, model.safetensors and tokenizer.json of all-MiniLM-L6-v2, as
`aimodels data fetch minilm_l6_v2` brings them. The mean of the tokens' vectors, normalised, is what
the model's card computes.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import BertModel

SENTENCES = (
    "A man is eating a piece of bread.",
    "Someone has a slice of toast.",
    "The cheetah chases its prey across the field.",
    "A big cat is running after an antelope.",
    "Shares fell sharply on Monday as oil prices rose.",
    "The stock market dropped at the beginning of the week.",
    "Überraschung: naïve café, 東京!",
    "Hi",
)


def main(folder: str) -> None:
    """Writes the sentences, their ids and vectors beside this file."""
    tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    encoded = tokenizer.encode_batch(list(SENTENCES))
    ids = torch.tensor([each.ids for each in encoded])
    mask = torch.tensor([each.attention_mask for each in encoded])
    model = BertModel.from_pretrained(folder).double().eval()
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    np.savez_compressed(
        Path(__file__).with_name("sentence_embeddings.npz"),
        sentences=np.array(SENTENCES),
        ids=ids.numpy().astype(np.int32),
        lengths=mask.sum(1).numpy().astype(np.int32),
        embeddings=torch.nn.functional.normalize(mean, dim=-1).numpy().astype(np.float32),
    )


if __name__ == "__main__":
    main(sys.argv[1])
