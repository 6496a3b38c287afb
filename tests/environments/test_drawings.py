"""Pictures of environments: what is drawn is where the state says it is."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.environments.drawings import canvas, classic_control, minatar
from aimodels.environments.gymnax import Gymnax
from aimodels.environments.toy_text import ToyText
from aimodels.errors import UserError

CONTROL = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")
MINATAR = ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")


def colour(name):
    return np.array([int(name[place : place + 2], 16) for place in (1, 3, 5)])


def where(picture, name):
    """The middle (x, y) in pixels of all that has a colour."""
    found = np.argwhere((np.abs(picture.astype(int) - colour(name)) <= 2).all(-1))
    assert len(found), name
    return found[:, 1].mean(), found[:, 0].mean()


def begin(environment, seed=0):
    return environment.reset(jax.random.key(seed))


@pytest.mark.parametrize("id", [*CONTROL, *(f"{game}-MinAtar" for game in MINATAR)])
def test_a_picture_of_gymnax(id):
    pytest.importorskip("gymnax")
    environment = Gymnax(id)
    state, observation = begin(environment)
    picture = environment.draw(state, observation)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[-1] == 3
    assert min(picture.shape[:2]) > 100
    moved = environment.step(state, jnp.int32(1), jax.random.key(1))
    for _ in range(20):
        moved = environment.step(moved.state, jnp.int32(1), jax.random.key(1))
    assert (environment.draw(moved.state, moved.observation) != picture).any()


def test_the_cart_and_its_pole_lean_as_the_state_says():
    parameters = types.SimpleNamespace(x_threshold=2.4, length=0.5, theta_threshold_radians=0.2095)

    def poles(x, theta):
        state = types.SimpleNamespace(x=x, theta=theta)
        picture = classic_control.cartpole(state, parameters)
        return np.array([where(picture, canvas.INK), where(picture, canvas.ORANGE)])

    middle, right, leaning = poles(0, 0), poles(1, 0), poles(0, 0.2)
    assert middle[:, 0] == pytest.approx(240, abs=2)
    np.testing.assert_allclose(right - middle, [[80, 0], [80, 0]], atol=2)  # 480 pixels are 6 m
    assert leaning[0] == pytest.approx(middle[0], abs=2)
    assert leaning[1, 0] > middle[1, 0] + 4


def test_the_acrobot_hangs_down_and_stands_up():
    parameters = types.SimpleNamespace(link_length_1=1.0, link_length_2=1.0)

    def links(first, second):
        state = types.SimpleNamespace(joint_angle1=first, joint_angle2=second)
        picture = classic_control.acrobot(state, parameters)
        return [np.array(where(picture, name)) for name in (canvas.BLUE, canvas.ORANGE)]

    pixels = 340 / 4.5
    for up, angle in ((1, 0.0), (-1, np.pi)):
        first, second = links(angle, 0.0)
        np.testing.assert_allclose(first, [170, 170 + up * 0.5 * pixels], atol=4)
        np.testing.assert_allclose(second, [170, 170 + up * 1.5 * pixels], atol=4)
    _, second = links(0.0, np.pi / 2)  # the second link to the right of the elbow below
    np.testing.assert_allclose(second, [170 + 0.5 * pixels, 170 + pixels], atol=4)


def test_minatar_shows_channels_in_their_cells_and_hides_none():
    observation = np.zeros((10, 10, 4), bool)
    observation[9, 4, 0] = observation[2, 7, 1] = observation[2, 7, 3] = True
    picture = minatar.draw("Breakout-MinAtar", observation)
    board = picture[:, : 10 * minatar.CELL]
    at = where(board, minatar.COLOURS[0])
    assert (int(at[0] // minatar.CELL), int(at[1] // minatar.CELL)) == (4, 9)
    for channel in (1, 3):  # in one cell, one around the other
        at = where(board, minatar.COLOURS[channel])
        assert (int(at[0] // minatar.CELL), int(at[1] // minatar.CELL)) == (7, 2)
    for channel in range(4):
        where(picture[:, 10 * minatar.CELL :], minatar.COLOURS[channel])  # the legend has it


@pytest.mark.parametrize("game", MINATAR)
def test_every_channel_of_minatar_has_a_name(game):
    pytest.importorskip("gymnax")
    assert (
        len(minatar.CHANNELS[f"{game}-MinAtar"]) == Gymnax(f"{game}-MinAtar").observation.shape[-1]
    )


@pytest.mark.parametrize(
    ("id", "state", "shape", "place"),
    [
        ("FrozenLake-v1", 6, (4, 4), (2, 1)),
        ("FrozenLake8x8-v1", 17, (8, 8), (1, 2)),
        ("CliffWalking-v1", 30, (4, 12), (6, 2)),
        ("Taxi-v4", (3 * 5 + 1) * 20 + 2 * 4 + 1, (5, 5), (1, 3)),
    ],
)
def test_the_agent_stands_in_its_cell(id, state, shape, place):
    pytest.importorskip("gymnasium")
    environment = ToyText(id)
    begun, _ = begin(environment)
    state = begun._replace(table=jnp.int32(state))
    picture = environment.draw(state, state.table, path=[state.table])
    rows, columns = shape
    assert picture.shape[0] * columns == picture.shape[1] * rows
    cell = picture.shape[1] / columns
    at = where(picture, canvas.ORANGE)
    np.testing.assert_allclose([at[0] / cell, at[1] / cell], np.array(place) + 0.5, atol=0.05)
    policy = np.zeros(environment.num_states, int)
    assert (environment.draw(state, state.table, policy=policy) != picture).any()


@pytest.mark.parametrize("id", ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"])
def test_arrows_point_where_actions_lead(id):
    """From the table itself: the likeliest outcome of each action, where it moves at all."""
    pytest.importorskip("gymnasium")
    from aimodels.environments.drawings import toy_text

    environment = ToyText(id, options={"is_slippery": False} if "Lake" in id else None)
    drawing = toy_text.drawing_of(environment._made)
    directions = toy_text.TAXI if id.startswith("Taxi") else drawing.directions
    columns = {"FrozenLake-v1": 4, "CliffWalking-v1": 12, "Taxi-v4": 5}[id]
    per_place = 20 if id.startswith("Taxi") else 1
    table, moves = environment.transitions, 0
    for state in range(environment.num_states):
        for action, (right, down) in enumerate(directions):
            following = int(
                table.next_state[state, action, table.probability[state, action].argmax()]
            )
            change = following // per_place - state // per_place
            begun = int(environment.begin.argmax()) // per_place
            fell = id.startswith("Cliff") and following == begun
            if change and not fell:
                assert change == right + columns * down
                moves += 1
    assert moves > 10


def test_images_are_enlarged_and_the_last_frame_is_shown():
    frames = np.zeros((84, 84, 4), np.uint8)
    frames[10, 20, 3], frames[30, 40, 0] = 200, 255
    picture = canvas.image(frames)
    assert picture.shape == (336, 336, 3)
    assert (picture[40:44, 80:84] == 200).all()
    assert picture.sum() == 200 * 16 * 3
    colours = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert (canvas.image(colours)[::84, ::84] == colours).all()
    assert canvas.image(np.zeros((4, 4))) is None
    assert canvas.image(np.zeros(4, np.uint8)) is None


def test_what_has_no_picture_says_what_does():
    pytest.importorskip("gymnax")
    environment = Gymnax("DeepSea-bsuite")
    with pytest.raises(UserError, match=r"DeepSea-bsuite can't be drawn.*CartPole-v1"):
        environment.draw(*begin(environment))


def test_a_caption_is_added_below():
    picture = np.full((101, 151, 3), 7, np.uint8)
    whole = canvas.with_caption(picture, "left", "right")
    assert whole.shape[0] % 2 == whole.shape[1] % 2 == 0
    beside = (whole.shape[1] - 151) // 2
    assert (whole[:101, beside : beside + 151] == 7).all()
    assert (whole[:101, :beside] == 255).all()
    wide = np.full((100, 601, 3), 7, np.uint8)
    assert canvas.with_caption(wide, "left", "right").shape == (126, 602, 3)
    words = (whole[101:] < 128).all(-1)
    assert words[:, :40].any()
    assert words[:, -40:].any()
