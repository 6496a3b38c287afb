"""Data sets of the session's folder."""

import pytest

from aimodels.data import make


@pytest.fixture
def fashion_mnist(fetched):
    return fetched("fashion_mnist")


@pytest.fixture
def uci_regression(fetched):
    """Makes one set of the nine, all fetched."""
    fetched("uci_regression")
    return lambda **fields: make("uci_regression", **fields)
