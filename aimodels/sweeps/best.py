"""A setting ready to be trained again: its config, and the command."""

import shlex

from aimodels.config import to_json
from aimodels.sweeps.groups import Group
from aimodels.sweeps.runs import text_of


def config_text(group: Group) -> str:
    """The whole config as JSON, with the seeds of all of the group's runs."""
    config = dict(group.runs[0].config)
    config["replicas"] = {**config["replicas"], "seeds": _seeds(group)}
    return to_json(config)


def command(group: Group) -> str:
    """The `aimodels train` command that trains the setting with the group's seeds.

    It names the experiment file and the overrides of the run's own command, and the values that
    varied between its replicas; a run that was started from Python is named by its config.json.
    """
    run = group.runs[0]
    varied = {name: text_of(run.settings[name]) for name in run.varied}
    seeds = {"replicas.seeds": ",".join(map(str, _seeds(group))) + ","}
    if run.origin.get("experiment"):
        variant = run.origin.get("variant")
        source = run.origin["experiment"] + (f":{variant}" if variant else "")
        overrides = {
            name: str(text)
            for name, text in (run.origin.get("overrides") or {}).items()
            if name != "replicas.seeds" and not name.startswith("replicas.vary")
        }
    else:
        source, overrides = str(run.folder / "config.json"), {}
    vary = {"replicas.vary": "{}"} if varied else {}
    fields = overrides | varied | vary | seeds
    words = ["aimodels", "train", f"--config={source}", "--workdir=runs/best"]
    words += [f"--config.{name}={text}" for name, text in fields.items()]
    return " ".join(shlex.quote(word) for word in words)


def _seeds(group: Group) -> tuple[int, ...]:
    return tuple(sorted({run.seed for run in group.runs}))
