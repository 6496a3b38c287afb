"""What each command does: a few lines over the functions that a program would call."""

import argparse
import contextlib
import sys
from pathlib import Path

from aimodels.errors import UserError


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


def _predict(options: argparse.Namespace) -> None:
    import json

    from aimodels.training.predict import predict

    predicted = predict(
        options.workdir,
        options.images,
        threshold=options.threshold,
        output=options.output,
        step=options.step,
        replica=options.replica,
    )
    print(json.dumps(predicted, indent=2))


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


def _import(options: argparse.Namespace) -> None:
    from aimodels.training.exchange import import_weights

    parameters = import_weights(
        options.file,
        options.workdir,
        naming=options.source,
        model=options.model,
        config=options.config,
        overrides=options.overrides,
    )
    print(f"{options.workdir}: {parameters:,} parameters, step 0")


def _export(options: argparse.Namespace) -> None:
    from aimodels.training.exchange import export

    said = export(
        options.workdir,
        options.output,
        format=options.format,
        naming=options.naming,
        step=options.step,
        replica=options.replica,
        batch_size=options.batch_size,
    )
    print(f"{options.output}: {said}")


def _generate(options: argparse.Namespace) -> None:
    from aimodels.models.generation import Sampling
    from aimodels.training.generate import beginning, stream, tokenizer_of
    from aimodels.training.load import load

    cuts = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    sampling = Sampling(**{name: getattr(options, name) for name in cuts})
    tokenizer = tokenizer_of(options.workdir)
    loaded = load(options.workdir, step=options.step, replica=options.replica)
    prompt = beginning(tokenizer) if options.prompt is None else options.prompt
    shown = prompt  # with the first piece: it may be refused
    for piece in stream(
        loaded,
        tokenizer,
        prompt,
        tokens=options.tokens,
        sampling=sampling,
        seed=options.seed,
    ):
        print(shown + piece, end="", flush=True)
        shown = ""
    print()


def _translate(options: argparse.Namespace) -> None:
    from aimodels.data.text.corpora import decoded
    from aimodels.training.generate import tokenizer_of
    from aimodels.training.load import load
    from aimodels.training.translate import translated

    tokenizer = tokenizer_of(options.workdir)
    loaded = load(options.workdir, step=options.step, replica=options.replica)
    texts = options.text
    if texts is None:
        lines = decoded(sys.stdin.buffer.read(), "standard input").replace("\r\n", "\n")
        texts = lines.removesuffix("\n").split("\n")
    for text in translated(
        loaded,
        tokenizer,
        texts,
        beams=options.beams,
        length_penalty=options.length_penalty,
        batch_size=options.batch_size,
    ):
        print(text, flush=True)


def _answer(options: argparse.Namespace) -> None:
    import json

    from aimodels.training.answer import answer

    found = answer(
        options.workdir,
        options.folder,
        options.question,
        passages=options.passages,
        count=options.count,
        step=options.step,
        replica=options.replica,
    )
    print(json.dumps(found, indent=2, ensure_ascii=False))


def _neighbours(options: argparse.Namespace) -> None:
    import json

    from aimodels.training.neighbours import word_vectors

    vectors = word_vectors(options.workdir, step=options.step, replica=options.replica)
    found = {word: dict(vectors.nearest(word, options.count)) for word in options.words}
    print(json.dumps(found, indent=2, ensure_ascii=False))


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
    from aimodels.config import load_experiment
    from aimodels.config.names import TABLES, table

    folder = Path(options.folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give that of your experiment files")
    print("experiments")
    for file in sorted(folder.rglob("*.py")):
        with contextlib.suppress(UserError):
            experiment = load_experiment(file)
            print(f"  {file}  {experiment.title}")
            print(f"      {', '.join(experiment.variants)}")
    for section in TABLES:
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


def _data(options: argparse.Namespace) -> None:
    from aimodels.data.describe import fetch, list_text, named, save_samples_picture, show_text

    if options.action == "list":
        return print(list_text())
    if options.action == "fetch":
        return print(fetch(options.name))
    print(show_text(options.name))
    dataset = named(options.name)
    if dataset.is_ready():
        out = Path(options.out or f"{options.name.replace(':', '-').replace('/', '-')}.png")
        save_samples_picture(dataset, out)
        print(f"picture of samples: {out}")


COMMANDS = {
    "train": _train,
    "evaluate": _evaluate,
    "watch": _watch,
    "predict": _predict,
    "explain": _explain,
    "import": _import,
    "export": _export,
    "generate": _generate,
    "translate": _translate,
    "answer": _answer,
    "neighbours": _neighbours,
    "reproduce": _reproduce,
    "sweep": _sweep,
    "report": _report,
    "play": _play,
    "elo": _elo,
    "list": _list,
    "show": _show,
    "data": _data,
}
