"""Films of trained agents: whole episodes, as they were played, and a word for each mistake."""

import json
import shutil
import subprocess

import jax
import numpy as np
import pytest
from PIL import Image

import aimodels
from aimodels.cli import main
from aimodels.errors import UserError
from aimodels.training import films
from aimodels.training.watch import MOST_FRAMES, Frames, watch

CARTPOLE = {
    "environment": {"name": "gymnax", "id": "CartPole-v1", "max_steps": 40},
    "model": {"name": "QNetwork", "features": (16,)},
    "task": {"name": "dqn", "capacity": 100, "learning_starts": 10, "batch_size": 8},
    "optimizer": {"name": "adam", "learning_rate": 1e-3},
    "training": {"steps": 4, "log_every": 2},
    "evaluation": {"batch_size": 4},
    "checkpoint": {"every": 2, "keep": 3},
    "replicas": {"seeds": (0, 1)},
}
# The table of a few steps is as good as any.
LAKE = {
    "environment": {"name": "toy_text", "id": "FrozenLake-v1", "options": {"is_slippery": False}},
    "task": {"name": "tabular"},
    "optimizer": {"name": "sgd", "learning_rate": 0.5},
    "training": {"steps": 50, "log_every": 10},
    "evaluation": {"batch_size": 4},
}
pytest.importorskip("gymnax")


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watch") / "run"
    aimodels.train(CARTPOLE, folder, verbose=False)
    return folder


def run(capsys, *arguments):
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def frames_of(file):
    with Image.open(file) as film:
        seconds = []
        for frame in range(film.n_frames):
            film.seek(frame)
            seconds.append(film.info["duration"] / 1000)
        return film.size, seconds


def test_the_command_films_episodes_and_prints_their_returns(capsys, cartpole, tmp_path):
    film = tmp_path / "two.gif"
    arguments = ("watch", f"--workdir={cartpole}", "--episodes=2", "--seed=5")
    code, out, err = run(capsys, *arguments, f"--output={film}")
    assert code == 0, err
    played = json.loads(out)
    assert played["film"] == str(film)
    assert played["step"] == 4
    assert [set(episode) for episode in played["episodes"]] == [{"return", "length"}] * 2
    for episode in played["episodes"]:
        assert 1 <= episode["length"] <= 40
        assert episode["return"] == episode["length"]  # CartPole pays 1 a step
    assert str(film) in err
    (width, height), seconds = frames_of(film)
    assert width > height > 100
    # 50 steps a second: a film is as long as what it shows, with a rest at each end.
    expected = sum(episode["length"] for episode in played["episodes"]) / 50 + 2 * 1.5
    assert sum(seconds) == pytest.approx(expected, abs=0.1)
    again = json.loads(run(capsys, *arguments, f"--output={tmp_path}/again.gif")[1])
    assert again["episodes"] == played["episodes"]
    assert (tmp_path / "again.gif").read_bytes() == film.read_bytes()


def test_the_film_goes_to_the_work_folder_and_takes_replica_and_step(cartpole):
    found = watch(cartpole, replica=1, step=2)
    assert found["film"] == str(cartpole / "watch.gif")
    assert (found["step"], found["replica"]) == (2, 1)
    assert frames_of(cartpole / "watch.gif")[1]


def test_what_is_filmed_is_what_the_agent_does(cartpole):
    """The same episode, played here step by step."""
    run = aimodels.load(cartpole)
    copies = run.task.environment.copies(1)
    key = jax.random.fold_in(jax.random.key(0), 0)
    reset_key, key = jax.random.split(key)
    running = copies.reset(reset_key)
    for length in range(1, 41):
        _, step_key = jax.random.split(jax.random.fold_in(key, length - 1))
        actions = run.predict(running.observation)
        running, transition = copies.step(running, actions, copies.chance(step_key))
        if transition.done[0]:
            break
    assert watch(cartpole)["episodes"] == [{"return": float(length), "length": length}]


def test_a_table_is_filmed_with_its_policy(tmp_path, monkeypatch):
    pytest.importorskip("gymnasium")
    from aimodels.environments.toy_text import ToyText

    aimodels.train(LAKE, tmp_path, verbose=False)
    drawn, draw = [], ToyText.draw

    def keep(self, state, observation, *, path=(), policy=None):
        drawn.append(([int(place) for place in path], policy))
        return draw(self, state, observation, path=path, policy=policy)

    monkeypatch.setattr(ToyText, "draw", keep)
    (played,) = watch(tmp_path)["episodes"]
    assert len(drawn) == played["length"] + 1
    path, policy = drawn[-1]
    assert path[0] == 0
    assert len(path) == played["length"] + 1
    q = aimodels.load(tmp_path).state.params["q"]
    values = np.asarray(q)[np.arange(16), policy]
    np.testing.assert_array_equal(values, np.asarray(q).max(-1))


def test_long_episodes_get_sparser_frames_and_keep_their_end():
    frames = Frames(2)
    length = 2 * MOST_FRAMES * 3 + 1
    for time in range(length + 1):
        frames.add(time, lambda time=time: np.array([time]), time == length)
    times = [int(picture[0]) for picture in frames.pictures]
    assert MOST_FRAMES / 2 <= len(times) <= MOST_FRAMES + 2
    assert times[0] == 0
    assert times[-1] == length
    assert set(np.diff(times[:-1])) == {8}


def test_a_solved_cartpole_is_a_small_film(tmp_path):
    """500 steps in which everything moves, below 2 MB."""
    from aimodels.environments.drawings.canvas import with_caption
    from aimodels.environments.gymnax import Gymnax

    environment = Gymnax("CartPole-v1")
    state, observation = environment.reset(jax.random.key(0))
    pictures = []
    for time in range(250):
        moved = state.replace(x=2 * np.sin(time / 20), theta=0.2 * np.sin(time / 5))
        picture = environment.draw(moved, observation)
        pictures.append(with_caption(picture, "CartPole-v1", f"step {2 * time}"))
    films.write_film(tmp_path / "film.gif", pictures, [0.04] * 250)
    assert (tmp_path / "film.gif").stat().st_size < 2e6


def test_colours_survive_in_a_gif(tmp_path):
    pictures = [np.full((20, 30, 3), 255, np.uint8) for _ in range(3)]
    for place, picture in enumerate(pictures):
        picture[5:9, 5 * place : 5 * place + 5] = (0, 114, 178)
    films.write_film(tmp_path / "film.gif", pictures, [0.1, 0.1, 0.5])
    with Image.open(tmp_path / "film.gif") as film:
        for place, picture in enumerate(pictures):
            film.seek(place)
            shown = np.asarray(film.convert("RGB")).astype(int)
            assert np.abs(shown - picture).max() <= 4
            assert (shown[0, 0] == 255).all()


def test_an_mp4_by_ffmpeg(tmp_path):
    if films._ffmpeg() is None:
        pytest.skip("neither ffmpeg nor imageio-ffmpeg is there")
    frames = [np.full((32, 48, 3), 60 * place, np.uint8) for place in range(4)]
    films.write_film(tmp_path / "film.mp4", frames, [0.1, 0.1, 0.1, 0.5])
    assert (tmp_path / "film.mp4").read_bytes()[4:8] == b"ftyp"


def test_an_mp4_gets_every_frame_for_its_time(tmp_path, monkeypatch):
    """With a stand-in for ffmpeg that keeps what it was given."""
    seen = {}

    def ffmpeg(command, input, capture_output):
        seen["command"], seen["raw"] = command, input
        films.Path(command[-1]).write_bytes(b"film")
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(films, "_ffmpeg", lambda: "ffmpeg")
    monkeypatch.setattr(films.subprocess, "run", ffmpeg)
    frames = [np.full((2, 4, 3), place, np.uint8) for place in range(2)]
    films.write_film(tmp_path / "film.mp4", frames, [0.04, 0.12])
    raw = np.frombuffer(seen["raw"], np.uint8).reshape(4, 2, 4, 3)
    assert raw[:, 0, 0, 0].tolist() == [0, 1, 1, 1]
    assert seen["command"][seen["command"].index("-s") + 1] == "4x2"
    assert seen["command"][seen["command"].index("-r") + 1] == "25"
    assert (tmp_path / "film.mp4").read_bytes() == b"film"


def test_mistakes(capsys, cartpole, tmp_path, monkeypatch, small_config):
    def fails(*arguments):
        code, out, err = run(capsys, "watch", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith("aimodels: ")
        assert err.count("\n") == 1
        return err

    workdir = f"--workdir={cartpole}"
    assert "not a work folder" in fails(f"--workdir={tmp_path}/nowhere")
    assert ".gif or .mp4" in fails(workdir, f"--output={tmp_path}/film.avi")
    assert "no ending" in fails(workdir, f"--output={tmp_path}/film")
    monkeypatch.setattr(films, "_ffmpeg", lambda: None)
    assert "take film.gif" in fails(workdir, f"--output={tmp_path}/film.mp4")
    assert "step 'soon'" in fails(workdir, "--step=soon")
    assert "names no metric" in fails(workdir, "--step=best")
    assert "replica 7" in fails(workdir, "--replica=7")
    empty = tmp_path / "empty"
    shutil.copytree(cartpole, empty, ignore=shutil.ignore_patterns("checkpoints"))
    assert "no checkpoint" in fails(f"--workdir={empty}")
    supervised = tmp_path / "supervised"
    aimodels.train(small_config(training={"steps": 2}), supervised, verbose=False)
    assert "task 'classification'" in fails(f"--workdir={supervised}")


def test_a_picture_that_there_is_not_is_said_before_anything_is_played(tmp_path):
    changed = {**CARTPOLE, "environment": {"name": "gymnax", "id": "DeepSea-bsuite"}}
    aimodels.train(changed, tmp_path, verbose=False)
    with pytest.raises(UserError, match="DeepSea-bsuite can't be drawn"):
        watch(tmp_path)
    assert not (tmp_path / "watch.gif").exists()
