"""transformers' GPT-2 and its `generate`, for decoding.py; in an interpreter that has both.

Reads a JSON line {"size", "batch", "new", "threads", ...} from standard input and writes
{"seconds", "ids"}; between two lines it waits and uses no processor.
Usage: torch_decoding_worker.py FOLDER, with FOLDER/<size>.safetensors and <size>.npy, the prompts.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file


def load(request: dict[str, Any], folder: Path) -> Any:
    """The model of a request with its weights."""
    config = transformers.GPT2Config(
        n_embd=request["width"],
        n_layer=request["num_layers"],
        n_head=request["num_heads"],
        n_positions=request["max_length"],
        bos_token_id=None,
        eos_token_id=None,
    )
    model = transformers.GPT2LMHeadModel(config)
    left = model.load_state_dict(load_file(folder / f"{request['size']}.safetensors"), strict=False)
    if left.unexpected_keys or set(left.missing_keys) - {"lm_head.weight"}:
        sys.exit(f"the weights don't fit: {left}")
    return model.eval()


def main() -> None:
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps(versions), flush=True)
    folder, models = Path(sys.argv[1]), {}
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"])
        size, new = request["size"], request["new"]
        if size not in models:
            models[size] = load(request, folder)
        prompts = torch.from_numpy(np.load(folder / f"{size}.npy")[: request["batch"]]).long()
        begin = time.perf_counter()
        with torch.inference_mode():
            found = models[size].generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                max_new_tokens=new,
                min_new_tokens=new,
                do_sample=False,
                pad_token_id=0,
            )
        seconds = time.perf_counter() - begin
        answer = {"seconds": seconds, "ids": found[:, -new:].tolist()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
