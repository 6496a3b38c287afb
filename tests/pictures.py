"""What tests of pictures share: a run's metrics to draw, and what makes a picture readable."""

import json
import math

import numpy as np


def write_metrics(path, *, replicas=3, points=20, last=0.9, broken=(), every=100):
    """A metrics.jsonl as a run writes it: NaN as the string "nan", train and test in turn."""
    generator = np.random.default_rng(0)
    lines = []
    for point in range(1, points + 1):
        for replica in range(replicas):
            line = {"step": every * point, "split": "train", "replica": replica, "seed": replica}
            accuracy = last * (1 - math.exp(-5 * point / points)) + generator.normal(0, 0.01)
            lost = replica in broken and point > points / 2
            loss = "nan" if lost else 1.2 - accuracy
            lines.append(line | {"loss": loss, "accuracy": accuracy, "gradient_norm": 1.0})
            if point % 2 == 0:
                lines.append(line | {"split": "test", "loss": loss, "accuracy": accuracy})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def boxes(figure):
    """Every text that can be seen, with its box in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    # Ticks beyond an axis' limits have labels too, which are never drawn.
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            drawn = {id(t) for t in axis.get_major_ticks() if low <= t.get_loc() <= high}
            ticks = [t for t in (*axis.majorTicks, *axis.minorTicks) if id(t) not in drawn]
            hidden |= {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
    texts = [text for text in texts if id(text) not in hidden]
    return [(text.get_text(), Text.get_window_extent(text, renderer)) for text in texts]


def assert_readable(figure):
    width, height = figure.canvas.get_width_height()
    texts = boxes(figure)
    for words, box in texts:
        assert box.x0 >= -1, words
        assert box.y0 >= -1, words
        assert box.x1 <= width + 1, words
        assert box.y1 <= height + 1, words
    for number, (words, box) in enumerate(texts):
        for other, place in texts[number + 1 :]:
            # Boxes are a pixel or two larger than their letters.
            over = min(box.x1, place.x1) - max(box.x0, place.x0)
            above = min(box.y1, place.y1) - max(box.y0, place.y0)
            assert min(over, above) < 3, (words, other)


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5_000
