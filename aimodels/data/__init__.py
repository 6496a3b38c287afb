"""Data: sources, splits, data sets, transforms, feeds. Imports nothing above it.

Data sets are made by name from the table below, or are a user's own as `package.module:Name`.
"""

from typing import Any

DATASETS: dict[str, str] = {
    # Generated, or shipped inside a package: no fetch.
    "mnist1d": "aimodels.data.mnist1d:Mnist1d",
    "digits": "aimodels.data.sklearn_sets:Digits",
    "random_images": "aimodels.data.random_images:RandomImages",
    "random_tokens": "aimodels.data.random_tokens:RandomTokens",
    "adding_problem": "aimodels.data.sequences.adding:AddingProblem",
    "copy_problem": "aimodels.data.sequences.copying:CopyProblem",
    "modular_arithmetic": "aimodels.data.sequences.modular_arithmetic:ModularArithmetic",
    "chomsky_hierarchy": "aimodels.data.sequences.chomsky:ChomskyHierarchy",
    "scan": "aimodels.data.sequences.scan:Scan",
    "babi": "aimodels.data.text.babi.dataset:Babi",
    "babi_spans": "aimodels.data.text.babi.spans:BabiSpans",
    "iris": "aimodels.data.sklearn_sets:Iris",
    "wine": "aimodels.data.sklearn_sets:Wine",
    "breast_cancer": "aimodels.data.sklearn_sets:BreastCancer",
    # Fetched once: aimodels data fetch NAME.
    "cifar10_jpeg": "aimodels.data.cifar10_jpeg:Cifar10Jpeg",
    "fashion_mnist": "aimodels.data.fashion_mnist:FashionMnist",
    "isbi2012": "aimodels.data.isbi2012:Isbi2012",
    "nuclei": "aimodels.data.nuclei:Nuclei",
    "moving_fashion": "aimodels.data.moving_fashion:MovingFashion",
    "sprite_actions": "aimodels.data.sprite_actions:SpriteActions",
    "uci_regression": "aimodels.data.uci_regression:UciRegression",
    "scenes": "aimodels.data.scenes:Scenes",
    "bccd": "aimodels.data.bccd:Bccd",
    "tree_boxes": "aimodels.data.tree_boxes:TreeBoxes",
    "sentence_classification": "aimodels.data.text.sentence_classification:SentenceClassification",
    "polyphonic_music": "aimodels.data.sequences.polyphonic_music:PolyphonicMusic",
    "reviews": "aimodels.data.text.reviews:Reviews",
    "bbc_news": "aimodels.data.text.bbc_news:BbcNews",
    "multi30k": "aimodels.data.text.multi30k:Multi30k",
    "libreoffice_help": "aimodels.data.text.libreoffice_help:LibreOfficeHelp",
    # A named corpus (fetched once), or a file of one's own.
    "text": "aimodels.data.text.language_modelling:Text",
    "words": "aimodels.data.text.words:Words",
    "cooccurrences": "aimodels.data.text.cooccurrences:Cooccurrences",
    "sentence_pairs": "aimodels.data.text.sentence_pairs:SentencePairs",
    # Any TensorFlow data set, any NumPy file.
    "tfds": "aimodels.data.tfds:Tfds",
    "tfds_detection": "aimodels.data.tfds_detection:TfdsDetection",
    "tfds_squad": "aimodels.data.text.squad:TfdsSquad",
    "arrays": "aimodels.data.arrays:Arrays",
}


def make(name: str, **fields: Any) -> Any:
    """The data set that a config's section `data = {"name": name, **fields}` means.

    Raises:
      UserError: an unknown name or field, a field that is missing or has no meaning.
    """
    from aimodels.config import call_section, named_section

    return call_section("data", named_section("data", {"name": name, **fields}, "data"))
