"""Makes recurrent.npz: PyTorch's recurrent layers over padded and packed sequences.

python tests/golden/make_recurrent.py        # needs torch (pip install 'aimodels[goldens]')
"""

import torch
from recorder import Recorder
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

KINDS = {
    "rnn": lambda *a, **k: nn.RNN(*a, **k),
    "rnn_relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
    "gru": lambda *a, **k: nn.GRU(*a, **k),
    "lstm": lambda *a, **k: nn.LSTM(*a, **k),
}


def main() -> None:
    """Writes the cases beside this file."""
    recorder = Recorder()
    batch, time, width, features = 3, 5, 2, 4
    for kind, make in KINDS.items():
        for layers, both, packed in ((1, False, False), (2, True, False), (2, True, True)):
            if kind == "rnn_relu" and both:
                continue
            module = recorder.randomize(
                make(width, features, num_layers=layers, bidirectional=both, batch_first=True)
            )
            inputs = recorder.draw(batch, time, width)
            rows = layers * (2 if both else 1)
            leaves = {"inputs": inputs, "hidden": recorder.draw(rows, batch, features)}
            state = leaves["hidden"]
            if kind == "lstm":
                leaves["cell"] = recorder.draw(rows, batch, features)
                state = (leaves["hidden"], leaves["cell"])
            if packed:
                leaves["lengths"] = torch.tensor([3, 5, 1])
                sequence = pack_padded_sequence(
                    inputs, leaves["lengths"], batch_first=True, enforce_sorted=False
                )
                outputs, last = module(sequence, state)
                outputs, _ = pad_packed_sequence(outputs, batch_first=True)
            else:
                outputs, last = module(inputs, state)
            results = {"outputs": outputs}
            if kind == "lstm":
                results |= {"last_hidden": last[0], "last_cell": last[1]}
            else:
                results |= {"last_hidden": last}
            case = f"{kind}_{layers}{'_both' if both else ''}{'_packed' if packed else ''}"
            recorder.record(case, results, leaves, module)
    recorder.save(__file__)


if __name__ == "__main__":
    main()
