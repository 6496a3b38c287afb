"""A data folder for the session, filled by the product's own fetch."""

import os
import shutil
import socket

import pytest

from aimodels.data import make
from aimodels.errors import UserError


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch, data_folder):
    """No test reads or writes the user's own data."""
    monkeypatch.setenv("AIMODELS_DATA", str(data_folder))
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_folder / "tfds"))


def fetched(name: str, needs_debian: bool):
    """The data set, fetched once a session; skips only where there is no way to get it."""
    dataset = make(name)
    if not dataset.is_ready():
        try:
            dataset.fetch()
        except UserError as error:
            debian = needs_debian and shutil.which("apt-get") is not None
            if os.environ.get("AIMODELS_DATA_MIRROR") or debian or online():
                raise
            pytest.skip(f"no mirror, no network, no Debian client: {error}")
    return dataset


def online() -> bool:
    try:
        socket.create_connection(("github.com", 443), timeout=3).close()
    except OSError:
        return False
    return True


@pytest.fixture
def fashion_mnist(_own_folders):
    return fetched("fashion_mnist", needs_debian=True)


@pytest.fixture
def uci_regression(_own_folders):
    """Makes one set of the nine, all fetched."""
    fetched("uci_regression", needs_debian=False)
    return lambda **fields: make("uci_regression", **fields)
