"""Makes norms.npz: PyTorch's normalisation layers.

python tests/golden/make_norms.py        # needs torch (pip install 'aimodels[goldens]')

Images are channels-first here, as PyTorch has them.
"""

import torch
from recorder import Recorder
from torch import nn


def main() -> None:
    """Writes the cases beside this file."""
    recorder = Recorder()
    for case, module, shape in (
        ("layer", nn.LayerNorm(6, eps=1e-5), (2, 3, 6)),
        ("layer_bert", nn.LayerNorm(6, eps=1e-12), (2, 3, 6)),
        ("rms", nn.RMSNorm(6, eps=1e-5), (2, 3, 6)),
        ("group", nn.GroupNorm(2, 6), (2, 6, 3, 2)),
    ):
        recorder.randomize(module)
        inputs = recorder.draw(*shape)
        recorder.record(case, {"outputs": module(inputs)}, {"inputs": inputs}, module)

    # Far from zero, where the variance as E[x²] - (E x)² would lose its digits in float32.
    module = recorder.randomize(nn.LayerNorm(64))
    inputs = (recorder.draw(2, 64).detach() + 1000).float().double().requires_grad_()
    recorder.record("layer_far", {"outputs": module(inputs)}, {"inputs": inputs}, module)

    module = recorder.randomize(nn.BatchNorm2d(3))
    running = (recorder.draw(3), recorder.draw(3).detach().exp().float().double())
    with torch.no_grad():
        module.running_mean.copy_(running[0])
        module.running_var.copy_(running[1])
    before = {"mean": module.running_mean.clone(), "var": module.running_var.clone()}
    inputs = recorder.draw(2, 3, 2, 2)
    recorder.record(
        "batch_train", {"outputs": module.train()(inputs)}, {"inputs": inputs, **before}, module
    )
    recorder.store("batch_train", mean_after=module.running_mean, var_after=module.running_var)
    module.zero_grad()
    before = {"mean": module.running_mean.clone(), "var": module.running_var.clone()}
    inputs = recorder.draw(2, 3, 2, 2)
    recorder.record(
        "batch_eval", {"outputs": module.eval()(inputs)}, {"inputs": inputs, **before}, module
    )
    recorder.save(__file__)


if __name__ == "__main__":
    main()
