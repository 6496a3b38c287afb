"""The commands as they are typed: their names, flags and help, and the fields of a config."""

import argparse
import math
from collections.abc import Sequence

from aimodels.errors import UserError

EPILOG = "Every field of a config can be given as --config.SECTION.FIELD=VALUE."


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

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=text, description=text, epilog=EPILOG, allow_abbrev=False
        )

    config = "FILE.py[:variant] of an experiment, or the config.json of a work folder"
    train = command("train", "train a config, or go on with it")
    train.add_argument("--config", required=True, metavar="FILE", help=config)
    train.add_argument("--workdir", required=True, help="folder of the run; made if missing")
    train.add_argument("--dry_run", action="store_true", help="check everything, train nothing")
    _add_processes(train)

    evaluate = command("evaluate", "evaluate a trained run; prints JSON")
    _add_run(evaluate, replica=False)
    evaluate.add_argument("--split", action="append", help="e.g. test or train[:10%%]; repeatable")
    _add_processes(evaluate)

    watch = command("watch", "film a trained agent that plays; prints returns as JSON")
    _add_run(watch)
    watch.add_argument("--output", help="FILE.gif or FILE.mp4 (default: watch.gif in the folder)")
    watch.add_argument("--episodes", type=_positive, default=1, help="to play (default 1)")
    watch.add_argument("--seed", type=_seed, default=0, help="of chance (default 0)")

    predict = command("predict", "draw what a trained run finds in images; prints JSON")
    _add_run(predict)
    predict.add_argument(
        "--images", required=True, nargs="+", metavar="FILE", help="PNG, JPEG, or folders of them"
    )
    predict.add_argument(
        "--threshold", type=float, default=0.5, help="score of what is shown (default 0.5)"
    )
    predict.add_argument("--output", help="FILE.png (default: predict.png in the folder)")

    explain = command("explain", "draw where a classifier looks; prints JSON")
    _add_run(explain)
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

    importing = command("import", "make a work folder of published weights")
    importing.add_argument(
        "file",
        metavar="FILE",
        help=".safetensors, .pth, .bin, or its folder; or what `data fetch` brings, by name",
    )
    importing.add_argument(
        "--from",
        dest="source",
        required=True,
        choices=("torchvision", "huggingface", "ours"),
        help="whose names and layout the arrays have",
    )
    importing.add_argument("--model", metavar="NAME", help="what the model is called there")
    importing.add_argument("--config", metavar="FILE", help=f"instead of --model: {config}")
    importing.add_argument("--workdir", required=True, help="folder of the run; made if missing")

    exporting = command("export", "write a run's weights or program to a file")
    _add_run(exporting)
    exporting.add_argument("--output", required=True, metavar="FILE", help="to write")
    exporting.add_argument(
        "--format",
        choices=("safetensors", "stablehlo", "word2vec"),
        default="safetensors",
        help="the weights (default), the program that predicts, or vectors of words as text",
    )
    exporting.add_argument(
        "--naming",
        choices=("ours", "torchvision", "huggingface"),
        default="ours",
        help="whose names and layout the weights get (default ours)",
    )
    exporting.add_argument(
        "--batch_size", type=_positive, help="of the program (default: it takes any)"
    )
    generate = command("generate", "text from a trained language model, as it is made")
    _add_run(generate)
    generate.add_argument(
        "--prompt",
        type=_text,
        help="what the text begins with (default: a new line, of words a full stop)",
    )
    generate.add_argument("--tokens", type=_positive, default=500, help="to make (default 500)")
    generate.add_argument("--temperature", type=float, default=0.8, help="0 is greedy (0.8)")
    generate.add_argument("--top_k", type=int, help="choose among the K most probable tokens")
    generate.add_argument("--top_p", type=float, help="among those that have this share together")
    generate.add_argument("--min_p", type=float, help="among those with this share of the largest")
    generate.add_argument("--repetition_penalty", type=float, help="above 1 against repetition")
    generate.add_argument("--seed", type=_seed, default=0, help="of chance (default 0)")
    translate = command("translate", "texts translated by a trained run, one a line")
    _add_run(translate)
    translate.add_argument(
        "--text",
        type=_text,
        action="append",
        help="a sentence, written as the run's data (tokenized multi30k is in lower case, marks "
        "apart); repeatable (default: standard input's lines)",
    )
    translate.add_argument(
        "--beams", type=_positive, help="texts that the search follows (default: the run's, or 4)"
    )
    translate.add_argument(
        "--length_penalty", type=float, help="above 0 for longer texts (default: the run's)"
    )
    translate.add_argument("--batch_size", type=_positive, default=32, help="texts at a time (32)")

    answering = command("answer", "answers from a folder of texts, by a reader; prints JSON")
    _add_run(answering)
    answering.add_argument("--folder", required=True, help="of text files, searched below too")
    answering.add_argument("--question", type=_text, required=True, help="what is asked")
    answering.add_argument("--passages", type=_positive, default=10, help="to read (default 10)")
    answering.add_argument("--count", type=_positive, default=3, help="of answers (default 3)")

    neighbours = command("neighbours", "the words nearest to some, by a run's vectors; prints JSON")
    _add_run(neighbours)
    neighbours.add_argument(
        "--words", type=_text, required=True, nargs="+", metavar="WORD", help="to look at"
    )
    neighbours.add_argument("--count", type=_positive, default=10, help="of each word (default 10)")

    reproduce = command("reproduce", "run a published table, and print it beside ours")
    reproduce.add_argument("file", help="an experiment file with a published table")
    reproduce.add_argument("--seeds", type=_positive, default=5, help="runs a row (default 5)")
    reproduce.add_argument("--rows", help="only these, separated by commas; `all` adds long ones")
    reproduce.add_argument(
        "--jobs", type=_positive, help="rows at the same time (default: one a core)"
    )
    reproduce.add_argument("--workdir", help="where results go (default runs/<experiment>)")
    reproduce.add_argument("--dry_run", action="store_true", help="say what it would cost, and end")

    sweep = command("sweep", "train many settings, as few programs as possible")
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

    report = command("report", "compare runs: a page, a CSV and a Parquet file")
    report.add_argument("folders", nargs="+", metavar="DIR", help="work folders, or above them")
    report.add_argument("--metric", help="that ranks, e.g. test/accuracy (default: what fits)")
    report.add_argument("--mode", choices=("max", "min"), help="which end of it is the best")
    report.add_argument("--out", help="the page (default: report.html in DIR if there is one DIR)")

    play = command("play", "play against a trained AlphaZero")
    _add_run(play, replica=False)
    play.add_argument("--simulations", type=_positive, help="of its search (default: the run's)")
    play.add_argument("--second", action="store_true", help="let it begin")
    play.add_argument("--seed", type=_seed, default=0, help="of its search (default 0)")

    elo = command("elo", "ratings of a run's checkpoints; prints a table, makes elo.png")
    elo.add_argument("--workdir", required=True, help="folder of the run")
    elo.add_argument("--games", type=_positive, default=40, help="of each pair (default 40)")
    elo.add_argument(
        "--checkpoints", type=_positive, default=8, help="so many at most, evenly spaced (8)"
    )
    elo.add_argument("--simulations", type=_positive, help="of its search (default: the run's)")
    elo.add_argument(
        "--opening_moves",
        type=_not_negative,
        default=2,
        help="random ones before each game (default 2)",
    )
    elo.add_argument("--seed", type=_seed, default=0, help="of openings and chance (default 0)")

    listing = command("list", "list experiments, models, tasks, data sets and optimizers")
    listing.add_argument("folder", nargs="?", default="experiments", help="of experiment files")

    show = command("show", "print a config, its parameters and costs; computes nothing")
    show.add_argument("--config", required=True, metavar="FILE", help=config)
    show.add_argument(
        "--devices", type=_positive, help="also memory and messages of a step on so many devices"
    )

    data = command("data", "data sets and weights: list, fetch, show")
    actions = data.add_subparsers(dest="action", required=True, metavar="list|fetch|show")
    actions.add_parser("list", help="what there is")
    fetch = actions.add_parser("fetch", help="bring a data set or weights here, and check them")
    fetch.add_argument("name")
    about = actions.add_parser("show", help="sizes, classes and a picture of samples")
    about.add_argument("name")
    about.add_argument("--out", help="PNG to write (default: <name>.png)")
    return top


def _add_run(command: argparse.ArgumentParser, *, replica: bool = True) -> None:
    """The flags by which a command finds a trained run, and one of its checkpoints."""
    command.add_argument("--workdir", required=True, help="folder of the run")
    command.add_argument("--step", default="latest", help="latest (default), best, or a number")
    if replica:
        command.add_argument(
            "--replica", type=int, default=0, help="which one, from 0 (default) on"
        )


def _add_processes(command: argparse.ArgumentParser) -> None:
    several = command.add_argument_group(
        "several processes", "one a host, all with the same command but for --process"
    )
    several.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0")
    several.add_argument(
        "--processes", metavar="N", help="how many; auto: Slurm, a TPU pod or Open MPI knows"
    )
    several.add_argument("--process", type=int, metavar="I", help="which one this is, from 0 on")


def _text(text: str) -> str:
    """What can be written as UTF-8: other bytes of a command line come as half characters."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!a} is not UTF-8; type it in a terminal that is, or convert it with iconv"
        ) from error
    return text


def _positive(text: str) -> int:
    return _whole(text, 1)


def _not_negative(text: str) -> int:
    return _whole(text, 0)


def _seed(text: str) -> int:
    """What JAX and NumPy both take."""
    return _whole(text, 0, 2**32 - 1)


def _whole(text: str, least: int, most: float = math.inf) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        takes = f">= {least}" if most == math.inf else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {takes}")
    return int(text)
