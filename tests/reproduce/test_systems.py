"""Systems of translation side by side: what is left by runs, what is measured, what is shown."""

import json
import types
from pathlib import Path

import numpy as np
import pytest

from aimodels.config import call_section
from aimodels.errors import UserError
from aimodels.reproduce import Row, Systems, systems, table
from aimodels.reproduce.phrase_baselines import phrase_based
from aimodels.reproduce.run import reproduce
from aimodels.reproduce.systems import translations_file, write_translations
from aimodels.tasks.translation_metrics import paired_bootstrap

TOY = f"{Path(__file__).parent.parent / 'training/toy_translation.py'}:Toy"
GIVEN = {
    "title": "Toy",
    "data": {"name": TOY},
    "splits": ("test",),
    "variants": {"phrases": "p", "network": "n", "other": "o"},
    "baseline": "phrases",
    "metric": "chrf",
}


def row(variant):
    return Row(name=variant, variant=variant, metric="test/chrf", published=None, source="none")


def experiment(**changed):
    module = types.SimpleNamespace(systems=lambda: [Systems(**GIVEN | changed)])
    return types.SimpleNamespace(module=module)


def right():
    return call_section("data", {"name": TOY}).pairs("test").targets


def worse(seed, share):
    """The right translations with words replaced."""
    generator = np.random.default_rng(seed)
    return [
        " ".join("x" if generator.random() < share else word for word in text.split())
        for text in right()
    ]


@pytest.fixture
def folders(tmp_path):
    """A baseline of one run, and a network of two; nothing of the other one."""
    write_translations(tmp_path / "p", "test", worse(0, 0.5))
    for run in range(2):
        write_translations(tmp_path / "n", "test", worse(1 + run, 0.1), run)
    return {"p": tmp_path / "p", "n": tmp_path / "n", "o": tmp_path / "o"}


def test_scores_and_differences_are_those_of_the_paired_bootstrap(folders):
    (found,) = systems.of(experiment(), [row(name) for name in "pno"])
    baseline, network = systems.measure([found], folders)
    references = [[text] for text in right()]
    given = {"metric": "chrf", "is_cut_into_words": True}
    once = [
        paired_bootstrap(worse(seed, 0.1), worse(0, 0.5), references, **given) for seed in (1, 2)
    ]
    assert (baseline["system"], baseline["runs"]) == ("phrases", 1)
    assert baseline["score"] == pytest.approx(once[0]["second"])
    assert baseline["difference"] is None
    assert baseline["p_value"] is None
    assert (network["system"], network["runs"]) == ("network", 2)
    for key, name in (("score", "first"), ("difference", "difference")):
        assert network[key][0] == pytest.approx(np.mean([each[name][0] for each in once]))
        assert network[key][1] < network[key][0] < network[key][2]
    assert network["difference"][1] > 0
    assert network["p_value"] == 0
    # Of one run alone it is the paired bootstrap itself.
    translations_file(folders["n"], "test", 1).unlink()
    _, network = systems.measure([found], folders)
    assert network["difference"] == pytest.approx(once[0]["difference"])
    # Without the baseline there is no difference.
    (network,) = systems.measure([found], {"n": folders["n"]})
    assert network["difference"] is None


def test_tables_show_them(folders, tmp_path):
    (found,) = systems.of(experiment(), [row(name) for name in "pno"])
    lines = systems.measure([found], folders)
    whole = table.make("t", [row("p")], [None], systems=lines)
    assert "| Toy, test, network | 2 | chrF " in table.markdown(whole)
    assert "| < 0.001 |" in table.markdown(whole)
    assert "the baseline (phrases)" in table.markdown(whole)
    assert any(line.startswith("Toy, test, network") for line in table.text(whole).splitlines())
    table.write(whole, tmp_path)
    stored = json.loads((tmp_path / "table.json").read_text())["systems"]
    assert stored[1]["p_value"] == 0
    del whole["systems"]  # a table.json from before there were systems
    assert "network" not in table.markdown(whole)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"baseline": "phrase"}, "baseline 'phrase'"),
        ({"variants": {"phrases": "q"}}, "variant 'q'"),
    ],
)
def test_systems_that_do_not_fit_are_refused(changed, says):
    with pytest.raises(UserError, match=says):
        systems.of(experiment(**changed), [row("p")])


def test_other_things_than_systems_are_refused():
    module = types.SimpleNamespace(systems=lambda: ["phrases"])
    with pytest.raises(UserError, match="it takes aimodels"):
        systems.of(types.SimpleNamespace(module=module), [])
    assert systems.of(types.SimpleNamespace(module=object()), []) == ()


def test_a_phrase_based_row_in_a_table(tmp_path, capsys):
    """Nine phrases that no training pair has, each the first two words swapped."""
    file = tmp_path / "toys.py"
    file.write_text(
        '"""Toys."""\n'
        "from aimodels.config import call_section\n"
        "from aimodels.reproduce import Row, Systems\n"
        "from aimodels.reproduce.phrase_baselines import phrase_based\n"
        f"GIVEN = {GIVEN!r} | dict(variants=dict(phrases='p'))\n"
        "def get_config(variant):\n"
        "    raise NotImplementedError\n"
        "def run(folder):\n"
        "    data = call_section('data', GIVEN['data'])\n"
        "    return [phrase_based(data, ('test',), folder, validation='train', rounds=2)]\n"
        "def published():\n"
        "    return [Row(name='p', variant='p', metric='test/chrf', published=None,\n"
        "                source='none', run_all=run)]\n"
        "def systems():\n"
        "    return [Systems(**GIVEN)]\n"
    )
    made = reproduce(file, workdir=tmp_path / "out", seeds=3)
    (cell,), (line,) = made["rows"], made["systems"]
    assert cell["n"] == 1  # there is nothing that a seed decides
    assert cell["mean"] == pytest.approx(line["score"][0])
    assert cell["mean"] > 60
    assert line["runs"] == 1
    texts = translations_file(tmp_path / "out/p", "test").read_text().splitlines()
    assert len(texts) == 9
    assert "Toy, test, phrases" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "out/p/results.json").read_text())["results"][0]
    assert metrics["phrases"] > 9
    assert {"test/bleu", "test/nist", "seconds", "tuning_seconds", "decoding_seconds"} < {*metrics}


def test_a_phrase_based_row_takes_pairs(tmp_path):
    with pytest.raises(UserError, match="takes pairs of texts"):
        phrase_based(call_section("data", {"name": "iris"}), ("test",), tmp_path)
