"""Augmentations: the larger recipes for images and signals, and what they are made of.

`colour` and `geometry` hold pure functions of one image [H, W, C]; `crops`, `jitter`,
`rand_augment`, `erasing`, `mixing` and (for signals) `signals` hold the transforms of a batch that
a config names (see `aimodels.data.transforms`, which has the table and the small ones).

Images are uint8, or floats between 0 and 1 where a docstring says so.
"""
