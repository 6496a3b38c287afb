"""The commands. Each is a few lines over the functions that a program would call.

Messages go to standard error, results that a program may read to standard output. Exit codes:
0 done, 2 the user's mistake, 3 training failed, 130 and 143 stopped and saved.
"""

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aimodels.errors import Stopped, TrainingFailed, UserError

EPILOG = "Every field of a config can be given as --config.SECTION.FIELD=VALUE."


def program() -> None:
    """`aimodels` as a process of its own."""
    sys.unraisablehook = _unraisable
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _struck)
    code = main()
    # All is done and said; from here on Ctrl-C would only get a traceback of Python's own end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        rest, overrides = split_overrides(arguments)
        options = parser().parse_args(rest)
        if overrides and not hasattr(options, "config"):
            raise UserError(f"`aimodels {options.command}` takes no --config fields")
        options.overrides = overrides
        _quiet_libraries()
        options.run(options)
        sys.stdout.flush()
        return 0
    except (UserError, TrainingFailed, Stopped) as error:
        print(f"aimodels: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("aimodels: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `aimodels list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"aimodels: the disk is full{where}; checkpoints on it are whole. Free some space and "
            "give the same command again: it goes on where it stopped",
            file=sys.stderr,
        )
        return 2


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments without `--config.a.b=value` or `--config.a.b value`, and those as a dict."""
    rest: list[str] = []
    overrides: dict[str, str] = {}
    items = iter(arguments)
    for item in items:
        if not item.startswith("--config."):
            rest.append(item)
            continue
        field, equals, value = item.removeprefix("--config.").partition("=")
        if not equals:
            value = next(items, None)
            if value is None:
                raise UserError(f"--config.{field} has no value: give --config.{field}=VALUE")
        overrides[field] = value
    return rest, overrides


def parser() -> argparse.ArgumentParser:
    """The commands and their flags."""
    top = argparse.ArgumentParser(
        prog="aimodels",
        description="Train, compare and reproduce deep-learning models with JAX and Flax.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=text, description=text, epilog=EPILOG, allow_abbrev=False
        )
        made.set_defaults(run=run)
        return made

    config = "FILE.py[:variant] of an experiment, or the config.json of a work folder"
    train = command("train", _train, "train a config, or go on with it")
    train.add_argument("--config", required=True, metavar="FILE", help=config)
    train.add_argument("--workdir", required=True, help="folder of the run; made if missing")
    train.add_argument("--dry_run", action="store_true", help="check everything, train nothing")
    _add_processes(train)

    evaluate = command("evaluate", _evaluate, "evaluate a trained run; prints JSON")
    evaluate.add_argument("--workdir", required=True, help="folder of the run")
    evaluate.add_argument("--split", action="append", help="e.g. test or train[:10%%]; repeatable")
    evaluate.add_argument("--step", default="latest", help="latest (default), best, or a number")
    _add_processes(evaluate)

    watch = command("watch", _watch, "film a trained agent that plays; prints returns as JSON")
    watch.add_argument("--workdir", required=True, help="folder of the run")
    watch.add_argument("--output", help="FILE.gif or FILE.mp4 (default: watch.gif in the folder)")
    watch.add_argument("--episodes", type=_positive, default=1, help="to play (default 1)")
    watch.add_argument("--seed", type=int, default=0, help="of chance (default 0)")
    watch.add_argument("--step", default="latest", help="latest (default), best, or a number")
    watch.add_argument("--replica", type=int, default=0, help="which one, from 0 (default) on")

    explain = command("explain", _explain, "draw where a classifier looks; prints JSON")
    explain.add_argument("--workdir", required=True, help="folder of the run")
    explain.add_argument(
        "--images", required=True, nargs="+", metavar="FILE", help="PNG, JPEG, or folders of them"
    )
    explain.add_argument(
        "--method",
        default="grad_cam",
        help="grad_cam (default), integrated_gradients, occlusion or attention_rollout",
    )
    explain.add_argument("--output", help="FILE.png (default: explain.png in the folder)")
    explain.add_argument(
        "--class", dest="class_id", type=int, metavar="N", help="(default: the one predicted)"
    )
    explain.add_argument("--step", default="latest", help="latest (default), best, or a number")
    explain.add_argument("--replica", type=int, default=0, help="which one, from 0 (default) on")

    reproduce = command("reproduce", _reproduce, "run a published table, and print it beside ours")
    reproduce.add_argument("file", help="an experiment file with a published table")
    reproduce.add_argument("--seeds", type=_positive, default=5, help="runs a row (default 5)")
    reproduce.add_argument("--rows", help="only these, separated by commas; `all` adds long ones")
    reproduce.add_argument(
        "--jobs", type=_positive, help="rows at the same time (default: one a core)"
    )
    reproduce.add_argument("--workdir", help="where results go (default runs/<experiment>)")
    reproduce.add_argument("--dry_run", action="store_true", help="say what it would cost, and end")

    sweep = command("sweep", _sweep, "train many settings, as few programs as possible")
    sweep.add_argument("--config", required=True, metavar="FILE", help=config)
    sweep.add_argument("--workdir", required=True, help="folder of the sweep; made if missing")
    sweep.add_argument(
        "--set",
        action="append",
        metavar="FIELD=V1,V2",
        help="values to try, instead of the file's sweep(); repeatable",
    )
    sweep.add_argument("--seeds", type=_positive, default=1, help="runs a setting (default 1)")
    sweep.add_argument("--search", choices=("random", "tpe"), help="draw settings, don't try all")
    sweep.add_argument("--trials", type=_positive, help="settings to draw (50)")
    sweep.add_argument("--metric", help="that is to be best, e.g. test/accuracy")
    sweep.add_argument("--mode", choices=("max", "min"), help="which end of it is the best")
    sweep.add_argument(
        "--prune", choices=("none", "asha", "hyperband"), help="stop what falls behind (tpe; none)"
    )
    sweep.add_argument("--population", type=_positive, help="settings tried at once (tpe; 16)")
    sweep.add_argument("--executor", choices=("replicas", "processes", "ray"), default="replicas")
    sweep.add_argument(
        "--jobs", type=_positive, help="processes at a time (default: a GPU or core each)"
    )
    sweep.add_argument("--cpus", type=float, default=1, help="of a Ray task (default 1)")
    sweep.add_argument("--gpus", type=float, default=0, help="of a Ray task (default 0)")
    sweep.add_argument("--address", help="of the Ray cluster (default: one on this machine)")
    sweep.add_argument(
        "--pack", type=_positive, help="runs a program at most (64; processes, ray: 1)"
    )
    sweep.add_argument("--retries", type=int, default=2, help="of a program that broke (2)")
    sweep.add_argument("--dry_run", action="store_true", help="print the plan, and end")

    report = command("report", _report, "compare runs: a page, a CSV and a Parquet file")
    report.add_argument("folders", nargs="+", metavar="DIR", help="work folders, or above them")
    report.add_argument("--metric", help="that ranks, e.g. test/accuracy (default: what fits)")
    report.add_argument("--mode", choices=("max", "min"), help="which end of it is the best")
    report.add_argument("--out", help="the page (default: report.html in DIR if there is one DIR)")

    play = command("play", _play, "play against a trained AlphaZero")
    play.add_argument("--workdir", required=True, help="folder of the run")
    play.add_argument("--step", default="latest", help="latest (default), best, or a number")
    play.add_argument("--simulations", type=_positive, help="of its search (default: the run's)")
    play.add_argument("--second", action="store_true", help="let it begin")
    play.add_argument("--seed", type=int, default=0, help="of its search (default 0)")

    elo = command("elo", _elo, "ratings of a run's checkpoints; prints a table, makes elo.png")
    elo.add_argument("--workdir", required=True, help="folder of the run")
    elo.add_argument("--games", type=_positive, default=40, help="of each pair (default 40)")
    elo.add_argument(
        "--checkpoints", type=_positive, default=8, help="so many at most, evenly spaced (8)"
    )
    elo.add_argument("--simulations", type=_positive, help="of its search (default: the run's)")
    elo.add_argument(
        "--opening_moves", type=int, default=2, help="random ones before each game (default 2)"
    )
    elo.add_argument("--seed", type=int, default=0, help="of openings and chance (default 0)")

    listing = command("list", _list, "list experiments, models, tasks, data sets and optimizers")
    listing.add_argument("folder", nargs="?", default="experiments", help="of experiment files")

    show = command("show", _show, "print a config, its parameters and costs; computes nothing")
    show.add_argument("--config", required=True, metavar="FILE", help=config)
    show.add_argument(
        "--devices", type=_positive, help="also memory and messages of a step on so many devices"
    )

    data = command("data", None, "data sets: list, fetch, show")
    actions = data.add_subparsers(dest="action", required=True, metavar="list|fetch|show")
    actions.add_parser("list", help="what there is").set_defaults(run=_data_list)
    fetch = actions.add_parser("fetch", help="bring a data set here, and check it")
    fetch.add_argument("name")
    fetch.set_defaults(run=_data_fetch)
    about = actions.add_parser("show", help="sizes, classes and a picture of samples")
    about.add_argument("name")
    about.add_argument("--out", help="PNG to write (default: <name>.png)")
    about.set_defaults(run=_data_show)
    return top


def _add_processes(command: argparse.ArgumentParser) -> None:
    several = command.add_argument_group(
        "several processes", "one a host, all with the same command but for --process"
    )
    several.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0")
    several.add_argument(
        "--processes", metavar="N", help="how many; auto: Slurm, a TPU pod or Open MPI knows"
    )
    several.add_argument("--process", type=int, metavar="I", help="which one this is, from 0 on")


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= 1")
    return int(text)


def _quiet_libraries() -> None:
    """Libraries' own chatter is not for our users: what fails is raised, and said in our words."""
    for name in ("absl", "jax", "orbax", "asyncio", "concurrent.futures"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _struck(number: int, frame: Any) -> None:
    """Ends the command, but not within an import: extensions take that for a fault of their own."""
    while frame is not None:
        if frame.f_code.co_name == "_find_and_load":  # importlib's
            return _send_again(number)
        frame = frame.f_back
    raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)


def _send_again(number: int) -> None:
    threading.Timer(0.02, os.kill, (os.getpid(), number)).start()


def _unraisable(unraisable: Any) -> None:
    """What Python does with an exception that it can't raise where it came up.

    A signal may come while garbage is collected: its exception is dropped, so it is sent again.
    What Orbax's writers say of a save that already failed, and was told as such, is left out.
    """
    dropped = {KeyboardInterrupt: signal.SIGINT, Stopped: signal.SIGTERM}
    if unraisable.exc_type in dropped:
        _send_again(dropped[unraisable.exc_type])
    elif str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _train(options: argparse.Namespace) -> None:
    from aimodels.config import load_config
    from aimodels.training import processes
    from aimodels.training.assembly import prepare_jax
    from aimodels.training.describe import describe
    from aimodels.training.run import train

    path, _, variant = options.config.partition(":")
    origin = {"experiment": path, "variant": variant or None, "overrides": options.overrides}
    with processes.joined(options.coordinator, options.processes, options.process):
        prepare_jax()  # before a file of the user's may start it
        config = load_config(options.config, options.overrides)
        if options.dry_run:
            print(describe(config, check=True))
            return
        metrics = train(config, options.workdir, origin=origin).metrics
        width = max(map(len, metrics), default=0)
        for name, value in metrics.items() if processes.is_first() else ():
            print(f"{name:{width}}  {value:.6g}")


def _evaluate(options: argparse.Namespace) -> None:
    import json

    from aimodels.training import processes
    from aimodels.training.load import evaluate

    splits = tuple(options.split) if options.split else None
    with processes.joined(options.coordinator, options.processes, options.process):
        found = evaluate(options.workdir, splits=splits, step=options.step)
        if processes.is_first():
            print(json.dumps(found, indent=2))


def _watch(options: argparse.Namespace) -> None:
    import json

    from aimodels.training.watch import watch

    played = watch(
        options.workdir,
        output=options.output,
        episodes=options.episodes,
        seed=options.seed,
        step=options.step,
        replica=options.replica,
    )
    print(json.dumps(played, indent=2))


def _explain(options: argparse.Namespace) -> None:
    import json

    from aimodels.training.explain import explain

    explained = explain(
        options.workdir,
        options.images,
        method=options.method,
        output=options.output,
        class_id=options.class_id,
        step=options.step,
        replica=options.replica,
    )
    print(json.dumps(explained, indent=2))


def _reproduce(options: argparse.Namespace) -> None:
    from aimodels.reproduce.run import reproduce
    from aimodels.training.parallel import cores

    reproduce(
        options.file,
        workdir=options.workdir,
        seeds=options.seeds,
        rows=options.rows.split(",") if options.rows else None,
        jobs=options.jobs or cores(),
        dry_run=options.dry_run,
    )


def _sweep(options: argparse.Namespace) -> None:
    from aimodels.sweeps import executors
    from aimodels.sweeps.space import from_text
    from aimodels.sweeps.sweep import Search, sweep

    needs = {"trials": ("random", "tpe"), "population": ("tpe",), "prune": ("tpe",)}
    for flag, methods in needs.items():
        if getattr(options, flag) is not None and options.search not in methods:
            raise UserError(f"--{flag} needs --search {' or --search '.join(methods)}")
    search = options.search and Search(
        options.search,
        options.trials or 50,
        options.population or 16,
        options.prune or "none",
    )
    make = {
        "replicas": executors.here,
        "processes": lambda: executors.processes(options.jobs),
        "ray": lambda: executors.ray(options.cpus, options.gpus, options.address),
    }
    sweep(
        options.config,
        options.workdir,
        overrides=options.overrides,
        settings=from_text(options.set) if options.set else None,
        seeds=options.seeds,
        search=search or None,
        metric=options.metric,
        mode=options.mode,
        executor=make[options.executor](),
        most_replicas=options.pack,
        retries=options.retries,
        dry_run=options.dry_run,
    )


def _report(options: argparse.Namespace) -> None:
    from aimodels.sweeps.report import report

    report(options.folders, metric=options.metric, mode=options.mode, out=options.out)


def _play(options: argparse.Namespace) -> None:
    from aimodels.agents.alphazero import checked
    from aimodels.agents.play import play
    from aimodels.training.load import load

    loaded = load(options.workdir, step=options.step)
    play(
        checked(loaded.task, "aimodels play"),
        loaded.state.variables,
        read=input,
        write=print,
        simulations=options.simulations,
        second=options.second,
        seed=options.seed,
    )


def _elo(options: argparse.Namespace) -> None:
    from aimodels.agents.alphazero import checked
    from aimodels.agents.elo import elo_text, plot_elo, tournament
    from aimodels.training.load import load_checkpoints

    task, checkpoints = load_checkpoints(options.workdir, options.checkpoints)
    found = tournament(
        checked(task, "aimodels elo"),
        checkpoints,
        games=options.games,
        opening_moves=options.opening_moves,
        simulations=options.simulations,
        seed=options.seed,
        say=lambda text: print(text, file=sys.stderr),
    )
    print(elo_text(found))
    picture = Path(options.workdir) / "elo.png"
    plot_elo(found, list(checkpoints), picture)
    print(f"picture: {picture}", file=sys.stderr)


def _list(options: argparse.Namespace) -> None:
    from aimodels.config import load_experiment, table

    folder = Path(options.folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give that of your experiment files")
    print("experiments")
    for file in sorted(folder.rglob("*.py")):
        with contextlib.suppress(UserError):
            experiment = load_experiment(file)
            print(f"  {file}  {experiment.title}")
            print(f"      {', '.join(experiment.variants)}")
    for section in ("model", "task", "data", "optimizer", "schedule", "transform"):
        print(f"{section}\n  {', '.join(sorted(table(section)))}")


def _show(options: argparse.Namespace) -> None:
    from aimodels.config import load_config
    from aimodels.training.describe import describe
    from aimodels.training.estimate import estimate, estimate_text

    config = load_config(options.config, options.overrides)
    found = options.devices and estimate(config, options.devices)
    print(describe(config))
    if found:
        print(f"\n{estimate_text(found)}")


def _data_list(options: argparse.Namespace) -> None:
    from aimodels.data.describe import list_text

    print(list_text())


def _data_fetch(options: argparse.Namespace) -> None:
    from aimodels.data.describe import named

    print(named(options.name).fetch())


def _data_show(options: argparse.Namespace) -> None:
    from aimodels.data.describe import named, save_samples_picture, show_text

    print(show_text(options.name))
    dataset = named(options.name)
    if dataset.is_ready():
        out = Path(options.out or f"{options.name.replace(':', '-').replace('/', '-')}.png")
        save_samples_picture(dataset, out)
        print(f"picture of samples: {out}")


if __name__ == "__main__":
    program()
