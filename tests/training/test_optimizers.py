"""Optimizers against their papers' formulas in NumPy float64, and what is common to all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.config.resolve import named_section
from aimodels.errors import UserError
from aimodels.tasks.updates import DEFERRED_SIZE, ema_update, norm, norms
from aimodels.training.optimizer_parts import parameter_paths
from aimodels.training.optimizers import OPTIMIZERS, learning_rate_of, make_optimizer

STEPS = 20
# A power of two is exact in the schedule's float32, so that the rest can be compared in float64.
LR = 2.0**-7
START = np.array([-0.5, 0.8, 1.5])


def gradient(x):
    """Of a Rosenbrock valley in the first two coordinates and a bowl in the third."""
    a, b, c = x[0], x[1], x[2]
    da = -2 * (1 - a) - 40 * a * (b - a**2)
    return [da, 20 * (b - a**2), 3 * c]


def ours(section, steps=STEPS, start=START):
    """Positions [steps, 3] of an optimizer, computed in float64."""
    with jax.enable_x64(True):
        optimizer = make_optimizer({"learning_rate": LR} | section, steps)

        def step(carry, _):
            x, state = carry
            updates, state = optimizer.update({"x": jnp.stack(gradient(x["x"]))}, state, x)
            x = optax.apply_updates(x, updates)
            return (x, state), x["x"]

        x = {"x": jnp.asarray(start, jnp.float64)}
        return np.asarray(jax.lax.scan(step, (x, optimizer.init(x)), length=steps)[1])


def descend(direction, steps=STEPS):
    """Positions of x <- x - direction(t, g, x), t = 1, 2, ..."""
    x, positions = START.copy(), []
    for t in range(1, steps + 1):
        x = x - direction(t, np.array(gradient(x)), x)
        positions.append(x)
    return np.array(positions)


def textbook_momentum(mu=0.9):
    """Polyak's heavy ball: x' = x - lr g(x) + mu (x - x before)."""
    before = x = START.copy()
    positions = []
    for _ in range(STEPS):
        before, x = x, x - LR * np.array(gradient(x)) + mu * (x - before)
        positions.append(x)
    return np.array(positions)


def textbook_nesterov(mu=0.9):
    """Points y, where the gradient is taken: x' = y - lr g(y), y' = x' + mu (x' - x)."""
    x = y = START.copy()
    positions = []
    for _ in range(STEPS):
        before, x = x, y - LR * np.array(gradient(y))
        y = x + mu * (x - before)
        positions.append(y)
    return np.array(positions)


def textbook_adam(b1=0.9, b2=0.999, eps=1e-8, l2=0.0, decoupled=0.0):
    """Kingma & Ba 2015, algorithm 1; with decay, Loshchilov & Hutter 2019, algorithm 2."""
    m = v = np.zeros(3)

    def direction(t, g, x):
        nonlocal m, v
        g = g + l2 * x
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
        return LR * (m_hat / (np.sqrt(v_hat) + eps) + decoupled * x)

    return descend(direction)


def textbook_nadam(b1=0.9, b2=0.999, eps=1e-8):
    m = v = np.zeros(3)

    def direction(t, g, x):
        nonlocal m, v
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        return LR * m_hat / (np.sqrt(v / (1 - b2**t)) + eps)

    return descend(direction)


def textbook_adamax(b1=0.9, b2=0.999, eps=1e-8):
    m = u = np.zeros(3)

    def direction(t, g, x):
        nonlocal m, u
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, np.abs(g) + eps)
        return LR / (1 - b1**t) * m / u

    return descend(direction)


def textbook_amsgrad(corrected, b1=0.9, b2=0.99, eps=1e-8):
    """Reddi et al. 2018, algorithm 2; corrected, by Adam's factors, with Kingma & Ba's ε-hat."""
    m = v = largest = np.zeros(3)

    def direction(t, g, x):
        nonlocal m, v, largest
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        largest = np.maximum(largest, v)
        factor = np.sqrt(1 - b2**t) / (1 - b1**t) if corrected else 1
        return LR * factor * m / (np.sqrt(largest) + eps)

    return descend(direction)


def textbook_adagrad():
    total = np.zeros(3)

    def direction(t, g, x):
        nonlocal total
        total = total + g**2
        return LR * g / np.sqrt(total + 1e-10)

    return descend(direction)


def textbook_adadelta(rho=0.95, eps=1e-6):
    """Zeiler 2012, algorithm 1."""
    squares = moves = np.zeros(3)

    def direction(t, g, x):
        nonlocal squares, moves
        squares = rho * squares + (1 - rho) * g**2
        move = np.sqrt(moves + eps) / np.sqrt(squares + eps) * g
        moves = rho * moves + (1 - rho) * move**2
        return LR * move

    return descend(direction)


def textbook_rmsprop(
    decay=0.9, eps=1e-8, centered=False, eps_in_sqrt=False, momentum=0.0, bias_correction=False
):
    mean = square = velocity = np.zeros(3)

    def direction(t, g, x):
        nonlocal mean, square, velocity
        mean = decay * mean + (1 - decay) * g
        square = decay * square + (1 - decay) * g**2
        variance = square - mean**2 if centered else square
        if bias_correction:
            variance = variance / (1 - decay**t)
        g = g / (np.sqrt(variance + eps) if eps_in_sqrt else np.sqrt(variance) + eps)
        velocity = momentum * velocity + g
        return LR * velocity

    return descend(direction)


def textbook_lion(b1=0.9, b2=0.99, decoupled=0.0):
    m = np.zeros(3)

    def direction(t, g, x):
        nonlocal m
        sign = np.sign(b1 * m + (1 - b1) * g)
        m = b2 * m + (1 - b2) * g
        return LR * (sign + decoupled * x)

    return descend(direction)


def textbook_lamb(b1=0.9, b2=0.999, eps=1e-6, decoupled=0.0):
    m = v = np.zeros(3)

    def direction(t, g, x):
        nonlocal m, v
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        r = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps) + decoupled * x
        return LR * np.linalg.norm(x) / np.linalg.norm(r) * r

    return descend(direction)


def textbook_lars(mu=0.9, eta=0.001, beta=0.0):
    v = np.zeros(3)

    def direction(t, g, x):
        nonlocal v
        g = g + beta * x
        v = mu * v + LR * eta * np.linalg.norm(x) / np.linalg.norm(g) * g
        return v

    return descend(direction)


def textbook_adafactor():
    """Shazeer & Stern 2018, algorithm 5 (a vector isn't factored), relative step off."""
    v = np.zeros(3)

    def direction(t, g, x):
        nonlocal v
        beta = 1 - t**-0.8
        v = beta * v + (1 - beta) * (g**2 + 1e-30)
        u = g / np.sqrt(v)
        u = u / max(1, np.sqrt((u**2).mean()))
        return LR * max(1e-3, np.sqrt((x**2).mean())) * u

    return descend(direction)


TEXTBOOK = {
    "gradient descent": ({"name": "sgd"}, lambda: descend(lambda t, g, x: LR * g)),
    "heavy ball": ({"name": "sgd", "momentum": 0.9}, textbook_momentum),
    "Nesterov": ({"name": "sgd", "momentum": 0.9, "nesterov": True}, textbook_nesterov),
    "Adam": ({"name": "adam"}, textbook_adam),
    "Adam, other rates": (
        {"name": "adam", "b1": 0.8, "b2": 0.95, "eps": 0.1},
        lambda: textbook_adam(0.8, 0.95, 0.1),
    ),
    "Adam with L2": ({"name": "adam", "l2": 0.3}, lambda: textbook_adam(l2=0.3)),
    "AdamW": ({"name": "adamw", "weight_decay": 0.3}, lambda: textbook_adam(decoupled=0.3)),
    "AdamW by default": ({"name": "adamw"}, lambda: textbook_adam(decoupled=0.01)),
    "Nadam": ({"name": "nadam"}, textbook_nadam),
    "Adamax": ({"name": "adamax"}, textbook_adamax),
    "AMSGrad": ({"name": "amsgrad", "b2": 0.99}, lambda: textbook_amsgrad(True)),
    "AMSGrad, algorithm 2": (
        {"name": "amsgrad", "b2": 0.99, "bias_correction": False},
        lambda: textbook_amsgrad(False),
    ),
    "Adagrad": ({"name": "adagrad"}, textbook_adagrad),
    "Adadelta": ({"name": "adadelta"}, textbook_adadelta),
    "RMSprop": ({"name": "rmsprop"}, textbook_rmsprop),
    "RMSprop, corrected": (
        {"name": "rmsprop", "eps": 1e-4, "eps_in_sqrt": True, "bias_correction": True},
        lambda: textbook_rmsprop(0.9, 1e-4, eps_in_sqrt=True, bias_correction=True),
    ),
    "RMSprop with momentum": (
        {"name": "rmsprop", "momentum": 0.5},
        lambda: textbook_rmsprop(momentum=0.5),
    ),
    "RMSprop of the Atari DQN": (
        {"name": "rmsprop", "decay": 0.95, "eps": 0.01, "eps_in_sqrt": True, "centered": True},
        lambda: textbook_rmsprop(0.95, 0.01, True, True),
    ),
    "centered RMSprop": (
        {"name": "rmsprop", "centered": True},
        lambda: textbook_rmsprop(centered=True),
    ),
    "Lion": ({"name": "lion", "weight_decay": 0.3}, lambda: textbook_lion(decoupled=0.3)),
    "LAMB": ({"name": "lamb", "weight_decay": 0.3}, lambda: textbook_lamb(decoupled=0.3)),
    "LARS": ({"name": "lars", "weight_decay": 0.3}, lambda: textbook_lars(beta=0.3)),
    "Adafactor": ({"name": "adafactor"}, textbook_adafactor),
}


@pytest.mark.parametrize("name", TEXTBOOK)
def test_textbook(name):
    section, textbook = TEXTBOOK[name]
    expected = textbook()
    assert np.abs(expected[-1] - START).max() > 1e-4  # it goes somewhere
    # Both in float64, but for b2^t, 0.95 or eps taken to it; the valley magnifies by some hundred.
    np.testing.assert_allclose(ours(section), expected, rtol=1e-9, atol=1e-12)


def test_every_optimizer_has_a_textbook():
    assert {section["name"] for section, _ in TEXTBOOK.values()} == set(OPTIMIZERS)


def test_l2_and_decoupled_decay_differ_but_for_plain_descent():
    l2, decoupled = ({"name": "sgd", "l2": 0.3}, {"name": "sgd", "weight_decay": 0.3})
    np.testing.assert_allclose(ours(l2), ours(decoupled), rtol=1e-12)
    for name in ("adam", "rmsprop", "lion"):
        one = ours({"name": name, "l2": 0.3})
        other = ours({"name": name, "weight_decay": 0.3})
        assert np.abs(one - other).max() > 1e-3, name


def test_centered_rmsprop_survives_a_steady_gradient():
    # Rounding takes E[g²] - E[g]² below zero then; its root must not be NaN.
    optimizer = make_optimizer({"name": "rmsprop", "centered": True, "decay": 0.95}, 1)
    params = {"w": jnp.ones(64)}
    state, gradients = optimizer.init(params), {"w": jnp.linspace(0.1, 30, 64)}

    def step(state, _):
        updates, state = optimizer.update(gradients, state, params)
        return state, updates["w"]

    updates = jax.lax.scan(step, state, length=300)[1]
    assert np.isfinite(updates).all()


@pytest.mark.parametrize(("name", "end"), [("adam", 1.0), ("amsgrad", -1.0)])
def test_reddi_2018_counter_example(name, end):
    # Figure 1 of "On the convergence of Adam and beyond": the loss is 1010 x every 101st step and
    # -10 x else, on [-1, 1]; -1 is best. Adam goes to +1, the worst point.
    section = {"name": name, "learning_rate": 0.005, "b1": 0.9, "b2": 0.99}
    optimizer = make_optimizer(section, 1)

    def step(carry, t):
        x, state = carry
        slope = jnp.where(t % 101 == 1, 1010.0, -10.0)
        updates, state = optimizer.update(slope, state, x)
        return (jnp.clip(x + updates, -1, 1), state), None

    x = jnp.zeros(())
    steps = jnp.arange(1, 400_001)
    (x, _), _ = jax.lax.scan(step, (x, optimizer.init(x)), steps)
    # A period of 101 steps goes forth and back by up to 100 · 0.005 · 10 / √v, √v = 101.
    np.testing.assert_allclose(x, end, atol=0.05)


PARAMS = {
    "encoder": {"Dense_0": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, 0.5)}},
    "head": {"kernel": jnp.full((3, 2), -1.0), "bias": jnp.full(2, 0.25)},
}
GRADIENTS = jax.tree.map(lambda x: 0.1 * x + 0.03, PARAMS)


def updates_of(section, gradients=GRADIENTS, steps=1, params=PARAMS):
    """The last of several updates with the same gradients and parameters."""
    optimizer = make_optimizer(section, 10)

    def run(gradients, params):
        state = optimizer.init(params)
        for _ in range(steps):
            updates, state = optimizer.update(gradients, state, params)
        return updates

    return jax.jit(run)(gradients, params)


def assert_trees_equal(one, other, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), one, other)


def test_clipping_scales_long_gradients_only():
    length = float(optax.tree.norm(GRADIENTS))
    plain = updates_of({"name": "sgd", "learning_rate": 1.0})
    longer = {"name": "sgd", "learning_rate": 1.0, "clip_global_norm": 1.01 * length}
    assert_trees_equal(updates_of(longer), plain)
    half = {"name": "sgd", "learning_rate": 1.0, "clip_global_norm": length / 2}
    assert_trees_equal(updates_of(half), jax.tree.map(lambda x: x / 2, plain), rtol=1e-6)


def test_clipping_is_of_the_losss_gradient_not_of_the_penalty():
    section = {"name": "sgd", "learning_rate": 1.0, "l2": 0.5, "clip_global_norm": 1e-3}
    clipped = jax.tree.map(lambda g: g * 1e-3 / optax.tree.norm(GRADIENTS), GRADIENTS)
    expected = jax.tree.map(lambda g, w: -(g + 0.5 * w), clipped, PARAMS)
    assert_trees_equal(updates_of(section), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["l2", "weight_decay"])
def test_decay_leaves_out_what_it_is_told(kind):
    section = {"name": "sgd", "learning_rate": 1.0, kind: 0.5, "decay_exclude": ("bias$",)}
    got, plain = updates_of(section), updates_of({"name": "sgd", "learning_rate": 1.0})
    for part in (lambda tree: tree["head"], lambda tree: tree["encoder"]["Dense_0"]):
        np.testing.assert_array_equal(part(got)["bias"], part(plain)["bias"])
        expected = part(plain)["kernel"] - 0.5 * part(PARAMS)["kernel"]
        np.testing.assert_allclose(part(got)["kernel"], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_what_does_not_decay_is_not_rescaled_by_layer(name):
    section = {"name": name, "decay_exclude": ("bias",)}
    scaled, spared = updates_of({"name": name}), updates_of(section)
    np.testing.assert_array_equal(scaled["head"]["kernel"], spared["head"]["kernel"])
    assert np.abs(scaled["head"]["bias"] - spared["head"]["bias"]).min() > 1e-5


def test_multipliers_first_match():
    multipliers = (("encoder/.*bias", 0.5), ("^encoder/", 0.1))
    section = {"name": "adamw", "learning_rate": 0.1, "weight_decay": 0.3}
    plain = updates_of(section, steps=3)
    got = updates_of(section | {"learning_rate_multipliers": multipliers}, steps=3)
    expected = {
        "encoder": {
            "Dense_0": {
                "kernel": 0.1 * plain["encoder"]["Dense_0"]["kernel"],
                "bias": 0.5 * plain["encoder"]["Dense_0"]["bias"],
            }
        },
        "head": plain["head"],
    }
    assert_trees_equal(got, expected, rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_parameters_stay_and_cost_no_state(name):
    section = {"name": name, "l2": 0.1, "weight_decay": 0.1, "clip_global_norm": 0.01}
    section |= {"frozen": ("^encoder/",), "decay_exclude": ("encoder/.*bias", "head/bias")}
    # Not even a gradient that is NaN reaches them, or the norm of the others.
    gradients = GRADIENTS | {"encoder": jax.tree.map(lambda x: x * jnp.nan, PARAMS["encoder"])}
    got = updates_of(section, gradients, steps=2)
    for leaf in jax.tree.leaves(got["encoder"]):
        np.testing.assert_array_equal(leaf, 0)
    # The rest is as if the frozen part weren't there.
    alone = section | {"frozen": (), "decay_exclude": ("bias",)}
    head = {"head": PARAMS["head"]}
    expected = updates_of(alone, {"head": GRADIENTS["head"]}, steps=2, params=head)
    assert_trees_equal(got["head"], expected["head"], rtol=1e-6)
    state = jax.eval_shape(make_optimizer(section, 10).init, PARAMS)
    state_alone = jax.eval_shape(make_optimizer(alone, 10).init, head)
    assert [x.shape for x in jax.tree.leaves(state)] == [
        x.shape for x in jax.tree.leaves(state_alone)
    ]


def test_a_pattern_that_matches_nothing_is_an_error():
    for field, value in {
        "frozen": ("trunk/",),
        "decay_exclude": ("bias", "trunk/"),
        "learning_rate_multipliers": (("trunk/", 0.1),),
    }.items():
        optimizer = make_optimizer({"name": "adam", field: value}, 10)
        message = rf"optimizer\.{field}: .*'trunk/' .* encoder/Dense_0/bias, .*head/kernel"
        with pytest.raises(UserError, match=message):
            optimizer.init(PARAMS)
    with pytest.raises(UserError, match="no parameter to train"):
        make_optimizer({"name": "adam", "frozen": (".",)}, 10).init(PARAMS)
    with pytest.raises(UserError, match="no regular expression"):
        make_optimizer({"name": "adam", "frozen": ("(",)}, 10)


def test_unknown_names_are_errors():
    with pytest.raises(UserError, match=r"unknown optimizer 'adm'.*'adam'"):
        make_optimizer({"name": "adm"}, 10)
    with pytest.raises(UserError, match=r"optimizer adam has no field 'beta1'"):
        make_optimizer({"name": "adam", "beta1": 0.9}, 10)
    with pytest.raises(UserError, match=r"unknown schedule 'cos'"):
        make_optimizer({"name": "adam", "schedule": {"name": "cos"}}, 10)


def test_paths_are_joined_with_slashes():
    names = ["encoder/Dense_0/bias", "encoder/Dense_0/kernel", "head/bias", "head/kernel"]
    assert parameter_paths(PARAMS) == names


def test_the_schedule_counts_updates():
    section = {"name": "sgd", "learning_rate": 1.0, "schedule": {"name": "linear"}}
    optimizer = make_optimizer(section, 4)
    state, params = optimizer.init(1.0), jnp.ones(())
    rates = []
    for _ in range(5):
        updates, state = optimizer.update(jnp.ones(()), state, params)
        rates.append(-float(updates))
    assert rates == [1.0, 0.75, 0.5, 0.25, 0.0]
    rate = learning_rate_of(section, 4)
    assert [float(rate(step)) for step in range(5)] == rates


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_replicas_with_traced_numbers_are_those_one_by_one(name):
    varied = {
        "learning_rate": [0.01, 0.02, 0.04],
        "l2": [0.0, 0.1, 0.2],
        "weight_decay": [0.2, 0.1, 0.0],
        "clip_global_norm": [0.1, 10.0, 0.3],
    }
    own = {"sgd": "momentum", "rmsprop": "decay", "adafactor": "momentum", "lars": "momentum"}
    own |= {"adagrad": "eps", "adadelta": "rho"}
    varied[own.get(name, "b1")] = [0.9, 0.8, 0.7]
    common = {
        "name": name,
        "decay_exclude": ("bias",),
        "learning_rate_multipliers": (("head/", 0.5),),
        "schedule": {"name": "cosine", "warmup_steps": 2},
    }

    def run(numbers):
        optimizer = make_optimizer(common | numbers, 8)

        def step(carry, _):
            params, state = carry
            gradients = jax.tree.map(lambda w: jnp.sin(w) + 0.1, params)
            updates, state = optimizer.update(gradients, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (PARAMS, optimizer.init(PARAMS)), length=8)[0][0]

    together = jax.jit(jax.vmap(run))({key: jnp.array(v) for key, v in varied.items()})
    ends = []
    for index in range(3):
        numbers = {key: values[index] for key, values in varied.items()}
        one = jax.jit(lambda numbers=numbers: run(numbers))()  # Python numbers, not traced
        # The same float32 sums, but 1 - b1 is rounded if b1 is traced: 6e-8 of 0.1.
        assert_trees_equal(jax.tree.map(lambda x, i=index: x[i], together), one, rtol=2e-5)
        ends.append(float(one["head"]["kernel"][0, 0]))
    assert len(set(ends)) == 3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resolved_config_section_builds(name):
    section = named_section("optimizer", {"name": name, "schedule": {"name": "noam"}}, "optimizer")
    assert section["schedule"]["warmup_steps"] == 4000
    given = updates_of(section)
    plain = updates_of({"name": name, "schedule": {"name": "noam"}})
    assert_trees_equal(given, plain, rtol=1e-6)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(given)) > 0


def test_ema():
    ema = {"w": jnp.array([1.0, 2.0])}
    params = {"w": jnp.array([3.0, 2.0], jnp.bfloat16)}
    got = ema_update(ema, params, 0.75, 10**6)
    np.testing.assert_allclose(got["w"], [1.5, 2.0], rtol=1e-6)
    assert got["w"].dtype == jnp.float32
    # At step 2 the decay is at most 3/12, at step 10^6 it is the one asked for.
    np.testing.assert_allclose(ema_update(ema, params, 0.75, 2)["w"][0], 2.5, rtol=1e-6)
    traced = jax.vmap(lambda decay: ema_update(ema, params, decay, 10**6))(jnp.array([0.75, 0.0]))
    np.testing.assert_allclose(traced["w"][:, 0], [1.5, 3.0], rtol=1e-6)


def test_norms():
    tree = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]], jnp.bfloat16)}
    got = norms(tree, jax.tree.map(lambda x: -2 * x, tree))
    expected = {"gradient_norm": 5.0, "update_norm": 10.0}
    assert {name: float(value.compute()) for name, value in got.items()} == expected
    assert all(value.compute().dtype == jnp.float32 for value in got.values())


def test_norms_of_a_large_model_are_not_put_off():
    tree = {"a": jax.ShapeDtypeStruct((DEFERRED_SIZE + 1,), jnp.float32)}
    got = jax.eval_shape(lambda tree: norms(tree, tree), tree)
    assert {value.shape for value in got.values()} == {()}


def test_norm_is_that_of_all_numbers_of_small_and_large_leaves():
    generator = np.random.default_rng(0)
    shapes = {"large": (300, 400), "matrix": (20, 30), "vector": (7,), "scalar": ()}
    tree = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    expected = np.sqrt(sum(np.square(leaf).sum() for leaf in tree.values()))
    # Sums of 120,000 squares in float32, pairwise: a few roundings of 6e-8.
    low = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)
    np.testing.assert_allclose(jax.jit(norm)(low), expected, rtol=1e-5)
    only_large = {"large": low["large"]}
    np.testing.assert_allclose(norm(only_large), np.linalg.norm(tree["large"]), rtol=1e-5)
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), low)
    assert norm(half).dtype == jnp.float32
