"""gensim's word2vec, run by word_vectors.py in an interpreter that has it (and no JAX).

Its argument is a folder with `sentences.json`, lists of words. Reads a JSON line {"method",
"threads", "epochs", "seed", "words", "output"} from standard input, trains, keeps the vectors of
those words as `output` (.npy) and writes {"seconds"}, of the training alone: gensim counts words
before that.
"""

import json
import sys
import time
from pathlib import Path

import gensim
import numpy as np
from gensim.models import Word2Vec

# The defaults of word2vec.c and of our tasks.
RATES = {"skip_gram": 0.025, "cbow": 0.05}


def main() -> None:
    sentences = json.loads((Path(sys.argv[1]) / "sentences.json").read_text())
    print(json.dumps({"gensim": gensim.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        model = Word2Vec(
            vector_size=100,
            window=5,
            min_count=1,  # rarer words were left out before
            sg=int(request["method"] == "skip_gram"),
            negative=5,
            sample=1e-3,
            alpha=RATES[request["method"]],
            min_alpha=1e-4,
            workers=request["threads"],
            seed=request["seed"],
        )
        model.build_vocab(sentences)
        begin = time.perf_counter()
        model.train(sentences, total_examples=len(sentences), epochs=request["epochs"])
        seconds = time.perf_counter() - begin
        np.save(request["output"], np.stack([model.wv[word] for word in request["words"]]))
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
