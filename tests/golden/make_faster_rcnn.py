"""Makes faster_rcnn.npz: torchvision's pyramid, proposals and box head, small, on seeded weights.

python tests/golden/make_faster_rcnn.py        # needs torchvision (pip install 'aimodels[goldens]')
"""

import torch
from recorder import Recorder
from torch import nn
from torchvision.models.detection import anchor_utils, faster_rcnn, rpn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool


class Head(nn.Module):
    """The box head."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = faster_rcnn.TwoMLPHead(3 * 2 * 2, 7)
        self.predictor = faster_rcnn.FastRCNNPredictor(7, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Regions [R, C, P, Q] -> logits [R, V], codes [R, 4 V]."""
        return self.predictor(self.mlp(x))


def main() -> None:
    """Writes the cases beside this file."""
    recorder = Recorder()
    maps = {"0": (4, 13, 10), "1": (5, 7, 5), "2": (6, 4, 3)}
    maps = {name: recorder.draw(2, *shape) for name, shape in maps.items()}
    pyramid = FeaturePyramidNetwork([4, 5, 6], 3, LastLevelMaxPool())
    recorder.randomize(pyramid)
    levels = list(pyramid(maps).values())
    outputs = {f"outputs.{number}": level for number, level in enumerate(levels)}
    recorder.record(
        "pyramid", outputs, {f"map.{name}": each for name, each in maps.items()}, pyramid
    )

    sizes = ((16,), (32,), (64,), (128,))
    generator = anchor_utils.AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 4)
    head = recorder.randomize(rpn.RPNHead(3, 3))
    network = rpn.RegionProposalNetwork(
        generator,
        *(head, 0.7, 0.3, 256, 0.5),
        pre_nms_top_n={"training": 40, "testing": 40},
        post_nms_top_n={"training": 60, "testing": 60},
        nms_thresh=0.7,
    ).eval()
    images = ImageList(torch.zeros(2, 3, 104, 80).double(), [(104, 80), (96, 64)])
    levels = [level.detach() for level in levels]
    objects, codes = head(levels)
    with torch.no_grad():
        boxes, _ = network(images, {str(k): level for k, level in enumerate(levels)})
    logits, codes = rpn.concat_box_prediction_layers(objects, codes)
    recorder.store("proposals", logits=logits.reshape(2, -1), codes=codes.reshape(2, -1, 4))
    recorder.store("proposals", **{f"map.{k}": level for k, level in enumerate(levels)})
    recorder.store("proposals", **{f"boxes.{image}": each for image, each in enumerate(boxes)})
    recorder.store(
        "proposals", **{f"parameters.{name}": leaf for name, leaf in head.named_parameters()}
    )

    regions, head = recorder.draw(5, 3, 2, 2), Head()
    recorder.randomize(head)
    logits, codes = head(regions)
    recorder.record("head", {"logits": logits, "codes": codes}, {"regions": regions}, head)
    recorder.save(__file__)


if __name__ == "__main__":
    main()
