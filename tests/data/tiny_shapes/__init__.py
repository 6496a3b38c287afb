"""A small TFDS data set, made of nothing: grey squares and bars, with other fields."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

CLASSES = ("square", "bar")


def pixels(index, height=8):
    """Example `index`: uint8 [height, 8, 1]."""
    image = np.zeros((height, 8, 1), np.uint8)
    image[2:6, 2 : 6 if index % 2 == 0 else 3] = 100 + index
    return image


def png(image):
    """The bytes of a PNG file: TFDS without TensorFlow writes images only so."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0]).save(buffer, "PNG")
    return io.BytesIO(buffer.getvalue())


class TinyShapes(tfds.core.GeneratorBasedBuilder):
    """Squares and bars."""

    VERSION = tfds.core.Version("1.0.0")
    HEIGHTS = (8,)

    def _info(self):
        height = self.HEIGHTS[0] if len(self.HEIGHTS) == 1 else None
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(height, 8, 1)),
                    "label": tfds.features.ClassLabel(names=CLASSES),
                    "size": tfds.features.Scalar(np.float64),
                    "name": tfds.features.Text(),
                }
            ),
            homepage="https://example.org/shapes",
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 20), "test": self._generate_examples(20, 25)}

    def _generate_examples(self, start, stop):
        for index in range(start, stop):
            image = pixels(index, self.HEIGHTS[index % len(self.HEIGHTS)])
            yield (
                index,
                {
                    "image": png(image),
                    "label": index % 2,
                    "size": index / 10,
                    "name": f"shape {index}",
                },
            )


class TinyMixedShapes(TinyShapes):
    """The same in two sizes."""

    HEIGHTS = (8, 10)


class TinyDownload(TinyShapes):
    """The same, but it wants something from a host that is not there."""

    @property
    def url_infos(self):
        """What TFDS knows of its downloads."""
        return {"https://host.invalid/shapes.zip": None}

    def _split_generators(self, dl_manager):
        raise AssertionError("the download must not have been tried")


class TinyBoxes(tfds.core.GeneratorBasedBuilder):
    """Images of several sizes with boxes, as TFDS has COCO: example i has i objects."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        objects = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=CLASSES),
            "is_crowd": np.bool_,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "objects": tfds.features.Sequence(objects),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for index in range(4):
            image = np.full((20, 40 + 8 * index, 3), 50 + index, np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            box = tfds.features.BBox(ymin=0.1, xmin=0.25, ymax=0.5, xmax=0.75)
            objects = [
                {"bbox": box, "label": place % 2, "is_crowd": place == 2} for place in range(index)
            ]
            yield index, {"image": io.BytesIO(buffer.getvalue()), "objects": objects}


class TinyBroken(TinyShapes):
    """Its generator raises."""

    def _split_generators(self, dl_manager):
        raise RuntimeError("no shapes today")
