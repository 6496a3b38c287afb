"""Classic control: the cart with its pole, the acrobot, the car in its valley.

Drawn from the states and parameters of gymnax, in the units of the equations of motion.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from aimodels.environments.drawings.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    RED,
    WHITE,
    Canvas,
)


def cartpole(state: Any, parameters: Any) -> np.ndarray:
    """The track between its limits, the cart, the pole, and in grey the angle at which it ends."""
    x, angle = float(state.x), float(state.theta)
    limit, pole = float(parameters.x_threshold), 2 * float(parameters.length)
    canvas = Canvas(480, -limit - 0.6, limit + 0.6, -0.5, pole + 0.5)
    axle = (x, 0.15)

    def above(angle: float) -> tuple[float, float]:
        return axle[0] + pole * np.sin(angle), axle[1] + pole * np.cos(angle)

    canvas.line([(-limit - 0.6, -0.15), (limit + 0.6, -0.15)], PALE, 2)
    for end in (-limit, limit):
        canvas.line([(end, -0.28), (end, -0.02)], GREY, 3)
    for side in (-1, 1):
        canvas.line([axle, above(side * float(parameters.theta_threshold_radians))], PALE, 1.5)
    canvas.box(x - 0.3, -0.12, x + 0.3, 0.18, INK, rounded=5)
    for wheel in (-0.17, 0.17):
        canvas.circle((x + wheel, -0.12), 6, GREY, WHITE)
    canvas.line([axle, above(angle)], ORANGE, 9)
    canvas.circle(axle, 5, BLUE)
    return canvas.pixels()


def acrobot(state: Any, parameters: Any) -> np.ndarray:
    """Both links, and the line above which the tip has to come."""
    first, second = float(state.joint_angle1), float(state.joint_angle2)
    lengths = float(parameters.link_length_1), float(parameters.link_length_2)
    reach = sum(lengths) + 0.25
    canvas = Canvas(340, -reach, reach, -reach, reach)
    elbow = lengths[0] * np.sin(first), -lengths[0] * np.cos(first)
    both = first + second
    tip = elbow[0] + lengths[1] * np.sin(both), elbow[1] - lengths[1] * np.cos(both)
    height = lengths[0]
    canvas.line([(-reach, height), (reach, height)], GREEN, 2)
    canvas.text((-reach + 0.08, height + 0.13), "goal", 12, GREEN, "lm")
    canvas.line([(0.0, 0.0), elbow], BLUE, 12)
    canvas.line([elbow, tip], ORANGE, 12)
    for joint, radius in (((0.0, 0.0), 7), (elbow, 6)):
        canvas.circle(joint, radius, INK, WHITE)
    canvas.circle(tip, 5, RED, WHITE)
    return canvas.pixels()


def mountaincar(state: Any, parameters: Any) -> np.ndarray:
    """The valley, the car on its slope, and the flag where it has to come."""
    x = float(state.position)
    left, right = float(parameters.min_position) - 0.06, float(parameters.max_position) + 0.06
    goal = float(parameters.goal_position)

    def ground(x: Any) -> Any:
        return 0.45 * np.sin(3 * x)

    canvas = Canvas(480, left, right, -0.56, 0.78)
    road = np.linspace(left, right, 200)
    surface = list(zip(road, ground(road), strict=True))
    canvas.polygon([*surface, (right, -0.6), (left, -0.6)], PALE)
    canvas.line(surface, GREY, 2)
    top = ground(goal) + 0.22
    canvas.line([(goal, ground(goal)), (goal, top)], INK, 2)
    canvas.polygon([(goal, top), (goal, top - 0.09), (goal + 0.09, top - 0.045)], GREEN)

    slope = np.arctan(1.35 * np.cos(3 * x))
    along, up = np.array([np.cos(slope), np.sin(slope)]), np.array([-np.sin(slope), np.cos(slope)])

    def of_car(forward: float, high: float) -> tuple[float, float]:
        return tuple(np.array([x, ground(x)]) + forward * along + high * up)

    body = [(-0.075, 0.03), (-0.075, 0.07), (-0.035, 0.075), (-0.02, 0.11), (0.03, 0.11)]
    body += [(0.045, 0.075), (0.075, 0.07), (0.075, 0.03)]
    canvas.polygon([of_car(*point) for point in body], BLUE)
    for wheel in (-0.042, 0.042):
        canvas.circle(of_car(wheel, 0.024), 6.5, INK, WHITE)
    return canvas.pixels()


DRAWINGS: dict[str, Callable[[Any, Any], np.ndarray]] = {
    "CartPole-v1": cartpole,
    "Acrobot-v1": acrobot,
    "MountainCar-v0": mountaincar,
}
