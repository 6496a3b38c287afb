"""Makes faster_rcnn_model.npz: torchvision's Faster R-CNN on seeded weights, a part of its outputs.

python tests/golden/make_faster_rcnn_model.py  # needs torchvision (pip install 'aimodels[goldens]')

The weights are those of `seeded_weights`, by their names in the state dict; those of the first
stage's outputs are made small, so that its boxes are near the anchors.
"""

import pathlib

import numpy as np
import torch
from seeded_weights import images, seeded
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops.misc import FrozenBatchNorm2d

SCALES = {"rpn.head.cls_logits.weight": 1e-4, "rpn.head.bbox_pred.weight": 2e-5}
HEIGHT, WIDTH, CLASSES, PROPOSALS = 96, 128, 7, 24


def main() -> None:
    """Writes the golden beside this file."""
    trunk = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=5
    )
    model = FasterRCNN(
        trunk, CLASSES, rpn_pre_nms_top_n_test=60, rpn_post_nms_top_n_test=PROPOSALS
    ).eval()
    state = {
        name: torch.tensor(seeded(name, tuple(each.shape)) * np.float32(SCALES.get(name, 1)))
        for name, each in model.state_dict().items()
    }
    model.load_state_dict(state)
    model = model.double()
    inputs = torch.tensor(images(1, HEIGHT, WIDTH, 3).transpose(0, 3, 1, 2)).double()
    with torch.no_grad():
        features = model.backbone(inputs)
        objects, codes = model.rpn.head(list(features.values()))
        objects, codes = concat_box_prediction_layers(objects, codes)
        regions, _ = model.rpn(ImageList(inputs, [(HEIGHT, WIDTH)]), features)
        heads = model.roi_heads
        pooled = heads.box_roi_pool(features, regions, [(HEIGHT, WIDTH)])
        logits, boxes = heads.box_predictor(heads.box_head(pooled))
    arrays = {
        "objects": objects[:, 0],
        "object_codes": codes,
        "regions": regions[0],
        "logits": logits,
        "codes": boxes.reshape(len(boxes), CLASSES, 4),
    }
    path = pathlib.Path(__file__).with_name("faster_rcnn_model.npz")
    np.savez_compressed(
        path, **{f"outputs/{k}": v.numpy().astype(np.float32) for k, v in arrays.items()}
    )


if __name__ == "__main__":
    main()
