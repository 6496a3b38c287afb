"""Makes boxes.npz: torchvision's parts of detectors on seeded inputs, and SSD300 on seeded weights.

python tests/golden/make_boxes.py        # needs torchvision (pip install 'aimodels[goldens]')

What decides by a threshold (matching, suppression) computes in float32, as we do; else float64.
"""

from types import SimpleNamespace

import numpy as np
import torch
from recorder import Recorder
from torch.nn import functional
from torchvision import ops
from torchvision.models import detection
from torchvision.models.detection import _utils, anchor_utils
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

SSD_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def random_boxes(rng: np.random.Generator, count: int, size: float, spread: float) -> torch.Tensor:
    """Boxes [count, 4] of sides size/4 .. size with centres in 0 .. spread, in float32."""
    center = rng.uniform(0, spread, (count, 2))
    sides = rng.uniform(size / 4, size, (count, 2))
    return torch.tensor(np.concatenate([center - sides / 2, center + sides / 2], 1)).float()


def overlaps(recorder: Recorder) -> None:
    """Formats, areas, overlaps, clipping and the size filter; some boxes are outside of 60 x 80."""
    first = random_boxes(recorder.rng, 8, 40, 80).double()
    second = random_boxes(recorder.rng, 5, 40, 80).double()
    first[0] = second[0]
    second[1] = torch.tensor([90.0, 70.0, 120.0, 75.0])
    kept = ops.remove_small_boxes(first, 20)
    recorder.store(
        "overlaps",
        first=first,
        second=second,
        xywh=ops.box_convert(first, "xyxy", "xywh"),
        cxcywh=ops.box_convert(first, "xyxy", "cxcywh"),
        area=ops.box_area(first),
        iou=ops.box_iou(first, second),
        giou=ops.generalized_box_iou(first, second),
        clipped=ops.clip_boxes_to_image(second, (60, 80)),
        large=torch.isin(torch.arange(len(first)), kept),
    )


def coding(recorder: Recorder) -> None:
    """Box coding both ways; some codes are beyond the largest change of size."""
    boxes = random_boxes(recorder.rng, 9, 40, 80).double()
    anchors = random_boxes(recorder.rng, 9, 30, 80).double()
    codes = recorder.draw(9, 4).detach()
    codes[0, 2], codes[1, 3] = 30.0, 5.0
    recorder.store("coding", boxes=boxes, anchors=anchors, codes=codes)
    for name, weights in (("rpn", (1.0, 1.0, 1.0, 1.0)), ("ssd", SSD_WEIGHTS)):
        coder = _utils.BoxCoder(weights)
        recorder.store(
            "coding",
            **{f"encoded.{name}": coder.encode_single(boxes, anchors)},
            **{f"decoded.{name}": coder.decode_single(codes, anchors)},
        )


def anchors(recorder: Recorder) -> None:
    """A feature pyramid's grids, and every 37th of SSD300's default boxes."""
    image = torch.zeros(1, 3, 64, 96)
    features = [torch.zeros(1, 1, 8, 12), torch.zeros(1, 1, 4, 6)]
    generator = anchor_utils.AnchorGenerator(((16, 20), (32, 40)), ((0.5, 1.0, 2.0),) * 2)
    pyramid = generator(ImageList(image, [(64, 96)]), features)[0]
    model = detection.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=3)
    image = torch.zeros(1, 3, 300, 300)
    features = [torch.zeros(1, 1, side, side) for side in (38, 19, 10, 5, 3, 1)]
    default = model.anchor_generator(ImageList(image, [(300, 300)]), features)[0]
    recorder.store("anchors", pyramid=pyramid, default=default[::37])


def matching(recorder: Recorder) -> None:
    """Every rule; two targets share their best anchor, and one target has two equal best ones."""
    anchors = random_boxes(recorder.rng, 60, 40, 80)
    targets = random_boxes(recorder.rng, 6, 40, 80)
    anchors[10] = anchors[20] = targets[0]
    targets[1] = targets[2] = anchors[30]
    # The boxes may differ by a rounding between libraries: the overlaps are what is matched.
    quality = ops.box_iou(targets, anchors)
    recorder.store(
        "matching",
        overlaps=quality,
        rpn=_utils.Matcher(0.7, 0.3, allow_low_quality_matches=True)(quality),
        head=_utils.Matcher(0.5, 0.5)(quality),
        between=_utils.Matcher(0.6, 0.4)(quality),
        ssd=_utils.SSDMatcher(0.5)(quality),
    )


def suppression(recorder: Recorder) -> None:
    """Boxes on few objects, with equal scores, equal boxes and empty ones."""
    for case, digits in (("suppression", 7), ("suppression_ties", 1)):
        boxes = random_boxes(recorder.rng, 80, 60, 100)
        boxes[5] = boxes[6]
        boxes[7, 2] = boxes[7, 0]
        boxes[8, 2:] = boxes[8, :2]
        scores = torch.tensor(recorder.rng.random(80).round(digits)).float()
        classes = torch.tensor(recorder.rng.integers(0, 3, 80))
        kept = {f"kept.{t}": ops.nms(boxes, scores, t) for t in (0.1, 0.5, 0.75)}
        by_class = ops.batched_nms(boxes, scores, classes, 0.3)
        recorder.store(case, boxes=boxes, scores=scores, classes=classes, by_class=by_class, **kept)


def regions(recorder: Recorder) -> None:
    """RoIAlign on one map and on a pyramid, with boxes across the border, outside and tiny."""
    features = recorder.draw(2, 3, 9, 11)
    boxes = torch.stack([random_boxes(recorder.rng, 6, 70, 80) for _ in range(2)]).double()
    boxes[0, 0] = torch.tensor([200.0, 200.0, 240.0, 230.0])
    boxes[0, 1] = torch.tensor([20.0, 20.0, 21.0, 20.5])
    boxes[0, 2] = torch.tensor([-30.0, -30.0, 130.0, 120.0])
    recorder.store("roi_align", features=features, boxes=boxes)
    for aligned in (False, True):
        for ratio in (1, 2, 3):
            outputs = ops.roi_align(features, list(boxes), (3, 2), 1 / 8, ratio, aligned)
            recorder.store("roi_align", **{f"outputs.{aligned}.{ratio}": outputs})
    cotangent = recorder.draw(12, 3, 3, 2).detach()
    outputs = ops.roi_align(features, list(boxes), (3, 2), 1 / 8, 2, True)
    (outputs * cotangent).sum().backward()
    recorder.store("roi_align", cotangent=cotangent, gradient=features.grad)

    maps = {str(level): recorder.draw(1, 1, 256 >> level, 256 >> level) for level in (2, 3, 4)}
    boxes = torch.cat([random_boxes(recorder.rng, 6, size, 256) for size in (60, 150, 400)])
    pool = ops.MultiScaleRoIAlign(["2", "3", "4"], 3, 2)
    outputs = pool(maps, [boxes.double()], [(256, 256)])
    recorder.store("pyramid", boxes=boxes, outputs=outputs, **maps)


def losses(recorder: Recorder) -> None:
    """Each with its gradient."""
    logits, targets = recorder.draw(6, 4, scale=3.0), (recorder.draw(6, 4).detach() > 0).double()
    arrays = {"logits": logits, "targets": targets}
    for name, alpha, gamma in (("default", 0.25, 2.0), ("unweighted", -1.0, 1.5)):
        values = ops.sigmoid_focal_loss(logits, targets, alpha, gamma)
        (gradient,) = torch.autograd.grad(values.sum(), logits)
        arrays |= {f"{name}.values": values, f"{name}.gradient": gradient}
    recorder.store("focal", **arrays)

    outputs, targets = recorder.draw(20), recorder.draw(20).detach()
    arrays = {"outputs": outputs, "targets": targets}
    for name, beta in (("one", 1.0), ("ninth", 1 / 9), ("zero", 0.0)):
        values = functional.smooth_l1_loss(outputs, targets, reduction="none", beta=beta)
        (gradient,) = torch.autograd.grad(values.sum(), outputs)
        arrays |= {f"{name}.values": values, f"{name}.gradient": gradient}
    recorder.store("smooth_l1", **arrays)

    boxes = random_boxes(recorder.rng, 9, 40, 60).double().requires_grad_()
    targets = random_boxes(recorder.rng, 9, 40, 60).double()
    values = ops.generalized_box_iou_loss(boxes, targets)
    (gradient,) = torch.autograd.grad(values.sum(), boxes)
    recorder.store("giou", boxes=boxes, targets=targets, values=values, gradient=gradient)


def ssd(recorder: Recorder) -> None:
    """SSD's loss and its detections, from 200 default boxes of two images, one without objects."""
    anchors = random_boxes(recorder.rng, 200, 60, 100)
    boxes, classes = random_boxes(recorder.rng, 3, 60, 100), torch.tensor([1, 3, 1])
    logits, codes = recorder.draw(2, 200, 4), recorder.draw(2, 200, 4)
    matches = [
        _utils.SSDMatcher(0.5)(ops.box_iou(boxes, anchors)),
        torch.full((200,), -1, dtype=torch.int64),
    ]
    coder = _utils.BoxCoder(SSD_WEIGHTS)
    settings = SimpleNamespace(
        box_coder=coder,
        neg_to_pos_ratio=3,
        score_thresh=0.2,
        topk_candidates=30,
        nms_thresh=0.45,
        detections_per_img=50,
    )
    empty = {"boxes": torch.zeros(0, 4).double(), "labels": torch.zeros(0, dtype=torch.int64)}
    targets = [{"boxes": boxes.double(), "labels": classes}, empty]
    outputs = {"bbox_regression": codes, "cls_logits": logits}
    both = SSD.compute_loss(settings, targets, outputs, [anchors.double()] * 2, matches)
    total = both["bbox_regression"] + both["classification"]
    gradients = torch.autograd.grad(total, (logits, codes))
    recorder.store(
        "ssd",
        anchors=anchors,
        boxes=boxes,
        classes=classes,
        logits=logits,
        codes=codes,
        matches=matches[0],
        of_boxes=both["bbox_regression"],
        of_classes=both["classification"],
        logits_gradient=gradients[0],
        codes_gradient=gradients[1],
    )
    outputs = {name: value.detach().float() for name, value in outputs.items()}
    found = SSD.postprocess_detections(settings, outputs, [anchors] * 2, [(80, 100)] * 2)
    for image, each in enumerate(found):
        recorder.store("ssd", **{f"found.{image}.{name}": value for name, value in each.items()})


def ssd300(recorder: Recorder) -> None:
    """Every 41st of SSD300's outputs; the test draws the same weights and image again."""
    rng = np.random.default_rng(300)
    model = detection.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = np.prod(parameter.shape[1:]) if parameter.dim() > 1 else 100
            values = rng.standard_normal(parameter.shape, dtype=np.float32)
            parameter.copy_(torch.tensor(values * np.float32(np.sqrt(2 / fan_in))))
        image = torch.tensor(rng.standard_normal((1, 3, 300, 300), dtype=np.float32))
        outputs = model.head(list(model.backbone(image).values()))
    recorder.store(
        "ssd300",
        logits=outputs["cls_logits"][0, ::41],
        codes=outputs["bbox_regression"][0, ::41],
    )


def main() -> None:
    """Writes the cases beside this file."""
    recorder = Recorder()
    parts = (overlaps, coding, anchors, matching, suppression, regions, losses, ssd, ssd300)
    for part in parts:
        part(recorder)
    recorder.save(__file__)


if __name__ == "__main__":
    main()
