"""The page, opened in a browser; the command; what it prints and refuses."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import aimodels
from aimodels.cli import main
from aimodels.sweeps.report import report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1200,2400",
)
in_browser = pytest.mark.skipif(
    not BROWSER, reason="no browser: apt-get install chromium (or put google-chrome on the PATH)"
)


def browse(page, profile, *flags):
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", *flags, page.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Page(HTMLParser):
    """What a browser made of a page: texts and tags of each section."""

    def __init__(self, dom):
        super().__init__()
        self.body, self.section, self.hidden = {}, "", set()
        self.tags, self.texts, self.rows = {}, {}, {}
        self.feed(dom)

    def handle_starttag(self, tag, attributes):
        """Counts the tag where it stands."""
        given = dict(attributes)
        if tag == "body":
            self.body = given
        if tag in ("section", "header", "footer"):
            self.section = given.get("id", tag)
            if "hidden" in given:
                self.hidden.add(self.section)
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        if tag in ("td", "th"):
            self.rows[self.section][-1].append("")
        self.tags.setdefault(self.section, []).append(tag)

    def handle_data(self, data):
        """Adds the text to its section, and to its cell."""
        self.texts[self.section] = self.texts.get(self.section, "") + data
        rows = self.rows.get(self.section)
        if rows and rows[-1]:
            rows[-1][-1] += data

    def column(self, section, head):
        """The cells below a head."""
        heads, *rows = self.rows[section]
        return [row[heads.index(head)] for row in rows]


def opened(page, tmp_path, script=""):
    """The page after its scripts and one more have run."""
    copy = tmp_path / "opened.html"
    text = page.read_text().replace("</body>", f"<script>{script}</script></body>")
    copy.write_text(text)
    made = Page(browse(copy, tmp_path / "profile", "--dump-dom"))
    assert made.body.get("data-drawn") == "true", "the page's script did not come to its end"
    return made


@pytest.fixture
def trained(tmp_path, small_config):
    """A real training: two learning rates by two label smoothings by two seeds, as replicas."""
    vary = {
        "optimizer.learning_rate": (0.001,) * 4 + (0.1,) * 4,
        "task.label_smoothing": (0.0, 0.0, 0.2, 0.2) * 2,
    }
    config = small_config(replicas={"seeds": (0, 1) * 4, "vary": vary, "mode": "vmap"})
    aimodels.train(config, tmp_path / "runs/sweep", verbose=False)
    return tmp_path / "runs"


@in_browser
def test_the_page_of_real_runs(trained, tmp_path, capsys):
    page = report([trained])
    assert page == trained / "report.html"
    printed = capsys.readouterr().out.splitlines()
    made = opened(page, tmp_path)
    assert "8 runs of 4 settings" in made.texts["header"]
    scores = [float(text.split()[0]) for text in made.column("table", "test/accuracy")]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    # The page, the printed table and results.json say the same.
    assert [float(line.split()[1]) for line in printed[1:]] == scores
    replicas = json.loads((trained / "sweep/results.json").read_text())["replicas"]
    found = [replica["metrics"]["test/accuracy"] for replica in replicas]
    means = [(found[at] + found[at + 1]) / 2 for at in (0, 2, 4, 6)]
    assert scores == pytest.approx(sorted(means, reverse=True), abs=1e-4)
    assert made.column("table", "learning_rate")[0] == "0.1"
    assert "aimodels train" in made.texts["best"]
    # A cell for each of two rates and smoothings; four curves with three bands; no failures.
    assert made.tags["fields"].count("rect") == 4
    assert "failures" in made.hidden
    assert made.tags["curves"].count("path") >= 8
    assert len(made.rows["statistics"]) == 5
    assert "at least 8 settings" in made.texts["importance"]
    browse(page, tmp_path / "profile", f"--screenshot={tmp_path}/page.png")
    from PIL import Image

    picture = Image.open(tmp_path / "page.png").convert("RGB")
    assert picture.size == (1200, 2400)
    colours = picture.getcolors(1 << 24)
    assert len(colours) > 500
    assert max(count for count, _ in colours) < 0.95 * 1200 * 2400


@in_browser
def test_heads_sort_and_buttons_change_the_view(tmp_path, write_run):
    for width, accuracies in ((16, [0.9, 0.7]), (4, [0.6, 0.5]), (100, [0.65, 0.9])):
        write_run(tmp_path / f"runs/{width}", accuracies, model={"features": (width,)})
    page = report([tmp_path / "runs"])

    def press(text, times):
        return (
            f"for (let i = 0; i < {times}; i++) [...document.querySelectorAll('#table button')]"
            f".find((b) => b.textContent === '{text}').click();"
        )

    widths = {0: ["(16,)", "(100,)", "(4,)"], 1: ["(4,)", "(16,)", "(100,)"]}
    widths[2] = widths[1][::-1]
    for times, expected in widths.items():
        made = opened(page, tmp_path, press("features", times))
        assert made.column("table", "features") == expected
    made = opened(page, tmp_path, press("runs", 1) + press("test/accuracy", 1))
    scores = made.column("table", "test/accuracy")
    assert scores == ["0.5", "0.6", "0.65", "0.7", "0.9", "0.9"]
    assert made.column("table", "seed")[:2] == ["1", "0"]


@in_browser
def test_texts_of_runs_are_texts(tmp_path, write_run):
    """Nothing that a config, a folder or an error says becomes a part of the page."""
    evil = '</script><script>document.body.dataset.hacked="1"</script><img src=x>'
    folder = tmp_path / "a<b>&amp;"
    status = {1: f"failed at step 3: {evil}"}
    write_run(folder / "1", [0.9, None], results={"status": status})
    write_run(folder / "2", [0.8, 0.7], checkpoint={"best": evil})
    made = opened(report([folder]), tmp_path)
    assert "data-hacked" not in made.body
    assert all("img" not in tags for tags in made.tags.values())
    assert "a<b>&amp;" in made.texts["header"]
    assert evil in made.texts["table"]
    assert evil in made.texts["failures"]


@in_browser
@pytest.mark.parametrize("fields", [0, 1, 2, 3])
def test_any_number_of_runs_and_fields(tmp_path, write_run, fields):
    """One run alone, and random searches over one to three fields with runs that failed."""
    for i in range(1 if fields == 0 else 40):
        changes = {"optimizer": {"learning_rate": 10.0 ** -(1 + (i * 7 % 40) / 10)}}
        if fields > 1:
            changes["training"] = {"ema_decay": (i * 3 % 40) / 41}
        if fields > 2:
            changes["model"] = {"features": (2 ** (i % 3),)}
        status = {"status": {0: "failed at step 20: loss"}} if i % 13 == 12 else True
        accuracy = None if i % 13 == 12 else (i * 7 % 40) / 50
        write_run(tmp_path / f"runs/{i}", [accuracy], results=status, **changes)
    made = opened(report([tmp_path / "runs"]), tmp_path)
    assert ("fields" in made.hidden) is (fields == 0)
    assert "statistics" in made.hidden  # one seed a setting
    if fields == 0:
        assert {"importance", "failures"} <= made.hidden
        assert "1 run of 1 setting" in made.texts["header"]
        return
    assert len(made.rows["table"]) == 41
    assert len(made.rows["failures"]) == 4
    marks = {1: "circle", 2: "circle", 3: "path"}[fields]
    assert made.tags["fields"].count(marks) >= 37
    assert ("importance" in made.hidden) is (fields == 1)
    if fields == 3:
        heads = ("learning_rate", "ema_decay", "features")
        assert all(head in made.texts["fields"] for head in heads)
        bars = re.findall(r"(learning_rate|ema_decay|features)(\d+) %", made.texts["importance"])
        assert bars[0][0] == "learning_rate"  # which alone decides the score


def test_the_page_asks_for_nothing(tmp_path, write_run):
    write_run(tmp_path / "run", [0.9, 0.8])
    text = report([tmp_path / "run"]).read_text()
    addresses = set(re.findall(r"https?://[^\"'\s]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a namespace, never fetched
    assert not re.search(r"\b(src|href)=|url\(|@import|fetch\(|XMLHttpRequest", text)
    assert "default-src 'none'" in text


def test_the_command(tmp_path, write_run, capsys, monkeypatch):
    for name, accuracy in (("a", 0.9), ("b", 0.8)):
        write_run(tmp_path / name, [accuracy], model={"features": (ord(name),)})
    assert main(["report", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert [line.split()[:2] for line in captured.out.splitlines()[1:]] == [
        ["1", "0.9"],
        ["2", "0.8"],
    ]
    assert "report.html" in captured.err
    for name in ("report.html", "sweep.csv", "sweep.parquet"):
        assert (tmp_path / name).stat().st_size > 0
    # Several folders: into the current one. The worst accuracy first, as asked.
    monkeypatch.chdir(tmp_path / "a")
    assert main(["report", "../a", "../b", "--metric=test/accuracy", "--mode=min"]) == 0
    assert "0.8 " in capsys.readouterr().out.splitlines()[1]
    assert Path("report.html").exists()
    assert main(["report", "../a", "--out=new/page.html"]) == 0
    assert Path("new/page.html").exists()
    assert Path("new/sweep.csv").exists()
    # By the loss, lower is better without being told.
    assert main(["report", "..", "--metric=test/loss"]) == 0
    assert "lowest first" in capsys.readouterr().out


def test_help(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["report", "--help"])
    assert caught.value.code == 0
    assert "--metric" in capsys.readouterr().out


def test_reading_runs_takes_no_jax():
    code = "import sys, aimodels.sweeps.report; print('jax' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_many_settings_are_cut_in_the_printed_table(tmp_path, write_run, capsys):
    for i in range(13):
        write_run(tmp_path / str(i), [i / 20], model={"features": (i + 1,)})
    report([tmp_path])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert "3 more settings" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{}/absent"], "not a folder"),
        (["{}/empty"], "holds no work folder"),
        (["{}/run", "--metric=test/acc"], "'test/accuracy'"),
        (["{}/run", "--config.a=1"], "takes no --config"),
    ],
)
def test_mistakes_have_one_message(tmp_path, write_run, capsys, arguments, says):
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "run", [0.9])
    assert main(["report", *(text.format(tmp_path) for text in arguments)]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.rglob("report.html"))
