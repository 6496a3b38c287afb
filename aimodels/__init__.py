"""aimodels: train, compare and reproduce deep-learning models with JAX and Flax."""
