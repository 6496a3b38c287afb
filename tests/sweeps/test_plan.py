"""What shares a program, and what does not."""

import pytest

from aimodels.config import load_config, plain
from aimodels.errors import UserError
from aimodels.sweeps.plan import PlannedRun, pack, why_not
from aimodels.sweeps.space import grid


@pytest.fixture
def base(experiment):
    return plain(load_config(experiment))


def runs_of(space, seeds=1):
    return [PlannedRun(setting, seed) for setting in grid(space) for seed in range(seeds)]


def test_what_changes_no_shape_shares_a_program(base):
    space = {"optimizer.learning_rate": (1e-3, 1e-2, 1e-1), "model.features": ((8,), (4, 4))}
    programs = pack(base, runs_of(space, seeds=2))
    assert [len(program.runs) for program in programs] == [6, 6]
    assert {tuple(program.config.model.features) for program in programs} == {(8,), (4, 4)}
    for program in programs:
        rates = program.config.replicas.vary["optimizer.learning_rate"]
        assert list(rates) == [run.setting["optimizer.learning_rate"] for run in program.runs]
        assert list(program.config.replicas.seeds) == [run.seed for run in program.runs]
        assert all(
            run.setting["model.features"] == program.config.model.features for run in program.runs
        )


def test_every_run_is_in_one_program_whatever_their_size(base):
    runs = runs_of({"optimizer.learning_rate": tuple(1e-3 * n for n in range(1, 8))}, seeds=3)
    for most in (1, 2, 5, 64):
        programs = pack(base, runs, most)
        packed = [run for program in programs for run in program.runs]
        assert sorted(map(repr, packed)) == sorted(map(repr, runs))
        assert max(len(program.runs) for program in programs) <= most
        assert len({program.name for program in programs}) == len(programs)


def test_names_are_the_same_each_time(base):
    runs = runs_of({"optimizer.learning_rate": (1e-3, 1e-2)})
    assert [p.name for p in pack(base, runs)] == [p.name for p in pack(base, runs)]


@pytest.mark.parametrize(
    "field", ["optimizer.learning_rate", "task.label_smoothing", "training.ema_decay"]
)
def test_numbers_vary_inside_a_program(experiment, field):
    assert why_not(load_config(experiment), field) is None


@pytest.mark.parametrize("field", ["model.features", "training.batch_size", "model.activation"])
def test_what_decides_shapes_or_code_does_not(experiment, field):
    assert "can't vary inside one program" in why_not(load_config(experiment), field)


def test_another_optimizer_brings_its_own_fields(base):
    base["optimizer"]["b1"] = 0.8
    programs = pack(base, runs_of({"optimizer.name": ("adam", "sgd")}))
    assert {program.config.optimizer.name for program in programs} == {"adam", "sgd"}


def test_a_setting_that_is_no_config_is_named(base):
    with pytest.raises(UserError, match=r"config.optimizer.lerning_rate: .*'learning_rate'"):
        pack(base, runs_of({"optimizer.lerning_rate": (1e-3,)}))
