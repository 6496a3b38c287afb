"""Checks commands as people are told to type them: programs, flags, files, variants, folders."""

import contextlib
import importlib.util
import io
import os
import re
import shlex
from pathlib import Path

from aimodels.arguments import parser, split_overrides
from aimodels.config import load_config, load_experiment, plain, resolve
from aimodels.data.describe import named
from aimodels.data.pretrained import WEIGHTS
from aimodels.errors import UserError
from aimodels.models.published import published as model
from aimodels.reproduce import published
from aimodels.sweeps.plan import with_settings
from aimodels.sweeps.space import check, from_text, grid

# Commands that look at a run.
WITH_WORKDIR = (
    "evaluate",
    "watch",
    "explain",
    "predict",
    "generate",
    "translate",
    "answer",
    "neighbours",
    "export",
    "play",
    "elo",
)


def in_markdown(text):
    """The commands in a text's ```console (after `$`) and ```bash blocks."""
    lines = []
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        whole = re.sub(r"\\\n\s*", "", block).splitlines()
        if language == "console":
            found = [line.removeprefix("$ ") for line in whole if line.startswith("$ ")]
            lines += found or [f"(a console block without a command: {whole})"]
        elif language in ("bash", "sh", "shell"):
            lines += [line for line in whole if line.strip() and not line.startswith("#")]
    return lines


def problems(lines):
    """What is wrong with commands that are typed in this order, from the clone's folder."""
    made, found = set(), []
    for line in lines:
        try:
            program, *arguments = shlex.split(line, comments=True)
            _check(program, arguments, made)
        except (UserError, ValueError) as error:
            found.append(f"{line}: {error}")
    return found


def _check(program, arguments, made):
    """Raises where a command can't work; `made` holds the work folders of those before it."""
    if program in ("aimodels", ".venv/bin/aimodels"):
        _check_aimodels(arguments, made)
    elif program == "tensorboard":
        _check_made(arguments[arguments.index("--logdir") + 1], made)
        if importlib.util.find_spec("tensorboard") is None:
            raise ValueError("tensorboard is not installed")
    elif program.startswith("scripts/"):
        if not os.access(program, os.X_OK):
            raise ValueError(f"{program} is not there to be run")
    elif program == "srun":  # its own flags, then the command
        _check(*_split_at("aimodels", arguments), made)
    elif program == "gcloud":
        (command,) = (a.removeprefix("--command=") for a in arguments if a.startswith("--command="))
        _check(*_split_at("aimodels", shlex.split(command)), made)
    elif program == "pip":
        if arguments[0] != "install":
            raise ValueError(f"pip {arguments[0]}")
    else:
        raise ValueError(f"tests/commands.py does not know how to check {program}")


def _split_at(program, arguments):
    if program not in arguments:
        raise ValueError(f"it does not run {program}")
    return program, arguments[arguments.index(program) + 1 :]


def _check_made(folder, made):
    if not any(Path(folder).is_relative_to(one) for one in made):
        raise ValueError(f"no command before it makes {folder}")


def _check_aimodels(arguments, made):
    rest, overrides = split_overrides(arguments)
    usage = io.StringIO()
    try:
        with contextlib.redirect_stderr(usage), contextlib.redirect_stdout(usage):
            options = parser().parse_args(rest)
    except SystemExit as ended:
        if ended.code:
            raise ValueError(usage.getvalue().splitlines()[-1]) from None
        return  # --help
    if overrides and not hasattr(options, "config"):
        raise ValueError(f"{options.command} takes no --config fields")
    {
        "train": _check_config,
        "show": _check_config,
        **dict.fromkeys(WITH_WORKDIR, _check_workdir),
        "import": _check_import,
        "reproduce": _check_reproduce,
        "list": _check_list,
        "data": _check_data,
        "sweep": _check_sweep,
        "report": lambda options, _, made: [_check_made(one, made) for one in options.folders],
    }[options.command](options, overrides, made)


def _check_config(options, overrides, made):
    if options.config.endswith(".json"):
        _check_made(options.config, made)
    else:
        load_config(options.config, overrides)
    if options.command == "train" and not options.dry_run:
        made.add(options.workdir)


def _check_workdir(options, _, made):
    _check_made(options.workdir, made)


def _check_import(options, overrides, made):
    if options.file not in WEIGHTS:
        raise ValueError(f"{options.file} is no weights that can be fetched")
    if options.model is not None:  # else the config.json beside the file says what it is
        resolve(model(options.source, options.model).config(), overrides)
    made.add(options.workdir)


def _check_sweep(options, overrides, made):
    experiment = load_experiment(options.config.partition(":")[0])
    base = plain(load_config(options.config, overrides))
    space = from_text(options.set) if options.set else experiment.module.sweep()
    for setting in grid(check(space, options.config)):
        resolve(with_settings(base, setting))
    made.add(options.workdir)


def _check_reproduce(options, _, made):
    rows = published.check(load_experiment(options.file).module.published())
    published.select(rows, options.rows.split(",") if options.rows else ())
    if not options.dry_run:
        made.add(options.workdir or f"runs/{Path(options.file).stem}")


def _check_list(options, *_):
    if not Path(options.folder).is_dir():
        raise ValueError(f"{options.folder} is not a folder")


def _check_data(options, *_):
    if options.action != "list" and options.name not in WEIGHTS:
        named(options.name)
