"""Augmentations of images: the larger recipes, and the operations that they are made of.

`colour` and `geometry` hold pure functions of one image [H, W, C]; `crops`, `jitter`,
`rand_augment`, `erasing` and `mixing` hold the transforms of a batch that a config names (see
`aimodels.data.transforms`, which has the table and the small ones).

Images are uint8, or floats between 0 and 1 where a docstring says so.
"""
