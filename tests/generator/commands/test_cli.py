"""The command line end to end: fixed names, output formats, mistakes, interruptions, what is imported."""

import csv
import io
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import uproot
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.run.card import RunCard
from darkpenguin.kinematics.base.cache import cache_folder
from darkpenguin.physics.observables import binned
from typer.testing import CliRunner

PROGRAM = [sys.executable, "-m", "darkpenguin.generator"]
RUNNER = CliRunner()


def run(*arguments, **keywords):
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=600, **keywords)


def call(*arguments):
    """A command in this process: quicker where a process of its own is not the point."""
    return RUNNER.invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "x.root"
    done = run(
        "generate", "--channel", "B0->K*0mumu", "--model", "fig2", "--events", "1e5", "--seed", 7, "--output", path
    )
    assert done.returncode == 0, done.stderr
    return path


def test_generate_writes_the_columns_that_other_tools_expect(sample):
    with uproot.open(sample) as file:
        tree = file["events"]
        assert tree.keys() == ["q2", "cos_theta_k", "cos_theta_l", "phi", "flavour", "channel", "event", "weight"]
        assert tree.num_entries == 100_000
        assert tree["flavour"].interpretation.from_dtype == np.dtype(">i4")
        provenance = json.loads(str(file["provenance"]))
    assert provenance["seed"] == 7
    assert provenance["convention"] == "lhcb"
    assert [path.name for path in sample.parent.iterdir()] == ["x.root"]


def test_k_has_no_kaon_angle(tmp_path):
    assert call("generate", "--channel", "B+->K+ee", "--events", 1000, "--output", tmp_path / "k.root").exit_code == 0
    with uproot.open(tmp_path / "k.root") as file:
        assert file["events"].keys() == ["q2", "cos_theta_l", "flavour", "channel", "event", "weight"]


def test_parts_of_a_run_are_the_run(sample, tmp_path):
    parts = []
    for i, part in enumerate(("0:33333", "33333:70001", "70001:100000")):
        path = tmp_path / f"{i}.root"
        done = call(
            "generate",
            "--channel",
            "B0->K*0mumu",
            "--model",
            "fig2",
            "--events",
            "1e5",
            "--seed",
            7,
            "--range",
            part,
            "--threads",
            1,
            "--output",
            path,
        )
        assert done.exit_code == 0, done.output
        parts.append(uproot.open(path)["events"].arrays(library="np"))
    whole = uproot.open(sample)["events"].arrays(library="np")
    for name, column in whole.items():
        assert np.concatenate([part[name] for part in parts]).tobytes() == column.tobytes(), name


def test_predict_csv():
    done = run(
        "predict", "R_K+", "R_K*0", "P5p", "AFB", "FL", "--model", "fig2", "--bins", "1.1,2,3,4,5,6", "--format", "csv"
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0]) == ["observable", "q2_min", "q2_max", "value"]
    assert len(rows) == 25
    expected = binned("R_K+", "fig2", [(1.1, 2.0)])
    assert float(rows[0]["value"]) == pytest.approx(float(np.ravel(expected)[0]), rel=1e-9, abs=0)


def test_a_table_of_predictions_has_no_more_digits_than_mean_something():
    """Two of the error; five where there is none, as of F_S, which is put in."""
    what = ("predict", "BR", "FS", "--kpi", "swave", "--bins", "1.1,2.5,6")
    rows = [line.split() for line in call(*what, "--errors").stdout.splitlines() if line.strip()[:2] in ("BR", "FS")]
    assert [len(row[-1].strip("0").partition("e")[0].replace(".", "")) for row in rows[:2]] == [2, 2]  # 2.1e-08
    assert [row[-1] for row in rows[2:]] == ["-", "-"]
    assert all(len(row[3].lstrip("0.")) <= 5 for row in rows[2:])
    alone = [line.split()[-1] for line in call(*what).stdout.splitlines() if line.strip()[:2] == "BR"]
    assert all(len(value.partition("e")[0].replace(".", "")) <= 5 for value in alone)


def test_validate_agrees_and_notices_a_bent_file(sample, tmp_path):
    assert run("validate", sample).returncode == 0
    bent = tmp_path / "bent.root"
    with uproot.open(sample) as file:
        columns = file["events"].arrays(library="np")
        provenance = str(file["provenance"])
    columns["cos_theta_l"] = np.where(np.arange(100_000) % 20 == 0, -columns["cos_theta_l"], columns["cos_theta_l"])
    with uproot.recreate(bent) as file:
        file["provenance"] = provenance
        file.mktree("events", {name: column.dtype for name, column in columns.items()}).extend(columns)
    done = run("validate", bent)
    assert done.returncode == 1
    assert "J_6s" in done.stdout


def test_tables_of_channels_models_and_files(sample):
    channels = call("channels").output
    for name in ("B+->K*+ee", "B0->K*0nunu", "B+->K+chichi"):
        assert name in channels
    models = call("models").output
    for name in (
        "sm",
        "heavy-c9",
        "heavy-c9-c10",
        "fig1-2.0gev",
        "fig1-2.5gev",
        "fig1-2.8gev",
        "fig2",
        "belle2-2.1gev",
    ):
        assert name in models
    assert call("models", "fig2", "--set", "light_vectors.0.mass=2.8").exit_code == 0
    shown = call("inspect", sample, "--json")
    assert json.loads(shown.output)["model"]["name"] == "fig2"


def test_init_writes_a_card_that_runs(tmp_path):
    card = tmp_path / "card.toml"
    assert call("init", card).exit_code == 0
    assert "#" in card.read_text(encoding="utf-8")
    done = call("generate", card, "--events", 1000, "--output", tmp_path / "x.root")
    assert done.exit_code == 0, done.output


MISTAKES = [
    ("channel", ["--channel", "B0->K*0mumuu"], "did you mean B0->K*0mumu"),
    ("model", ["--model", "fig3"], "did you mean fig2"),
    ("widht", ["--set", "light_vectors.0.widht=1"], "did you mean width"),
    ("mass", ["--set", "light_vectors.0.mass=-1"], "greater than 0"),
    ("width", ["--set", "light_vectors.0.width=-0.1"], "greater than 0"),
    ("mass", ["--set", "light_vectors.0.mass=nan"], "finite"),
    ("q2", ["--q2", "6,1"], "empty range"),
    ("q2", ["--q2", "25,30"], "outside phase space"),
    ("events", ["--events", "0"], "from 1"),
    ("events", ["--events", "-5"], "from 1"),
    ("events", ["--events", "nan"], "finite"),
    ("events", ["--events", "１０"], "not a number"),
    ("output", ["--events", "1e13"], "free"),
    ("output", ["--output", "missing/x.root"], "no folder"),
    ("output", ["--output", "x.txt"], "ending"),
    ("output", ["--output", "there.root"], "--overwrite"),
    ("device", ["--device", "tpu"], "'cpu' or 'gpu'"),
    ("precision", ["--precision", "float16"], "float32"),
    ("threads", ["--threads", "0"], "threads"),
    ("range", ["--range", "5:2"], "START"),
    ("seed", ["--seed", "-1"], "0"),
    ("convention", ["--convention", "ours"], "theory"),
    ("flavour", ["--flavour", "c"], "bbar"),
    ("seed", ["--seed", "seven"], "seven"),
    ("g_bs", ["--set", "light_vectors.0.g_bs=nan"], "finite"),
    ("m_chi", ["--channel", "B+->K+chichi", "--set", "light_vectors.0.m_chi=2.5"], "1.25 GeV"),
    ("model", ["--channel", "B+->K+chichi", "--model", "sm"], "no such decays"),
    ("q2", ["--q2", "1,6", "--veto", "0,7"], "leave nothing"),
    ("range", ["--range", "50:200"], "<= 100"),
    ("format", ["--format", "csv"], "parquet"),
    ("figures", ["--figure", "r.gif"], ".png"),
    ("figures", ["--figure", "r.png"], "B0->K*0ee"),
    ("card", ["nowhere.toml"], "built-in cards are"),
    ("mass", ["--set", "light_vectors.0.mass=1e300"], "less than or equal to"),
    ("g_bs", ["--set", "light_vectors.0.g_bs=1e200"], "at most"),
    ("g_mu_v", ["--set", "light_vectors.0.g_mu_v=true"], "a number is needed"),
    ("width", ["--set", "light_vectors.0.relative_width=1e-12"], "larger width"),
    ("output", ["--output", "{channel.name}.root"], "only {channel}"),
    ("output", ["--output", "{channel[0]}.root"], "only {channel}"),
    ("output", ["--output", 250 * "a" + ".root"], "choose a shorter one"),
]


@pytest.mark.parametrize(("field", "arguments", "way_out"), MISTAKES)
def test_a_mistake_is_one_clear_line(tmp_path, monkeypatch, capfd, field, arguments, way_out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.root").write_bytes(b"mine")
    before = sorted(os.listdir(tmp_path))
    default = ["--channel", "B0->K*0mumu", "--model", "fig2", "--events", "100", "--output", "y.root"]
    kept = [default[i : i + 2] for i in range(0, len(default), 2) if default[i] not in arguments]
    done = call("generate", *itertools.chain(*kept), *arguments)
    text = done.output + "".join(capfd.readouterr())
    assert done.exit_code == 2, text
    assert field in text
    assert way_out in text
    assert len(text.strip().splitlines()) == 1, text
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "there.root").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "way_out"),
    [
        (["predict", "R_X"], "did you mean R_K"),
        (["predict", "R_K+", "--model", "fig3"], "did you mean fig2"),
        (["predict", "P5p", "--channel", "B+->K+mumu"], "take B0->K*0mumu"),
        (["predict", "R_K+", "--bins", "6,1"], "rising edges"),
        (["predict", "R_K+", "--bins", "1,six"], "a published binning"),
        (["predict", "R_K+", "--bins", "25,30"], "outside the phase space"),
        (["predict", "R_K+", "--q2", "25,30"], "outside the phase space"),
        (["predict", "R_K+", "--bins", "1,6", "--format", "xml"], "csv"),
        (["predict", "R_K+", "--figure", "missing/r.png"], "no folder"),
        (["validate", "nothing.root"], "no such file"),
        (["validate", "text.root", "--figure", "v.gif"], ".png"),
        (["inspect", "text.root"], "neither a ROOT nor a Parquet"),
        (["models", "fig2", "--set", "light_vectors.0.widht=1"], "did you mean width"),
        (["init", "text.root"], "--overwrite"),
        (["selftest", "--events", "0"], "from 1"),
    ],
)
def test_mistakes_of_other_commands(tmp_path, monkeypatch, capfd, arguments, way_out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.root").write_text("hello")
    done = call(*arguments)
    text = done.output + "".join(capfd.readouterr())
    assert done.exit_code == 2, text
    assert way_out in text
    assert len(text.strip().splitlines()) == 1, text
    assert os.listdir(tmp_path) == ["text.root"]


def test_a_folder_that_is_not_writable(tmp_path, monkeypatch):
    """Root may write anywhere, so what the system says is replaced."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    done = call("generate", "--channel", "B+->K+mumu", "--events", 10, "--output", tmp_path / "x.root")
    assert done.exit_code == 2
    assert "not writable" in done.output


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's device that is always full")
def test_output_that_cannot_be_written(tmp_path):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([*PROGRAM, "channels"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=600)
    assert done.returncode == 75  # worth a retry
    assert done.stderr == "darkpenguin: error: output: No space left on device\n"


@pytest.mark.parametrize("arguments", [["channels"], ["--help"], ["models", "fig2"]])
def test_a_reader_that_goes_away_ends_us_quietly(arguments):
    for closed in ("1", "2"):
        line = f"exec {closed}> >(exec true); sleep 0.2; exec {shlex.join([*PROGRAM, *arguments])}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=600)
        assert (done.returncode, done.stderr) == (0, ""), closed


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_were_never_open_are_not_mistaken_for_files(tmp_path, closed):
    """What is printed must not go into the file that is opened first."""
    line = f"exec {shlex.join([*PROGRAM, 'init', 'card.toml'])} {closed}"
    for code in (0, 2):  # then it exists
        assert subprocess.run(["bash", "-c", line], cwd=tmp_path, timeout=600, check=False).returncode == code
    assert (tmp_path / "card.toml").read_text(encoding="utf-8") == RunCard.example()


def test_a_bug_is_told_from_a_mistake(monkeypatch, capfd):
    def broken(*_):
        raise ZeroDivisionError("a\x1bb")

    monkeypatch.setattr("darkpenguin.generator.commands.listing.list_channels", broken)
    done = call("channels")
    text = done.output + "".join(capfd.readouterr())
    assert done.exit_code == 70
    assert "Traceback" in text
    assert r"this is a bug; please report it with the lines above and the command (ZeroDivisionError: a\x1bb)" in text


def test_a_full_disk_is_worth_a_retry(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = call("generate", "--channel", "B+->K+mumu", "--events", 10, "--output", tmp_path / "x.root")
    assert done.exit_code == 75
    assert "No space left" in done.output
    assert os.listdir(tmp_path) == []


def test_a_card_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "run.toml").write_text("mine")
    monkeypatch.setattr(os, "replace", full)
    done = call("init", tmp_path / "run.toml", "--overwrite")
    assert done.exit_code == 75
    assert "No space left" in done.output
    assert os.listdir(tmp_path) == ["run.toml"]
    assert (tmp_path / "run.toml").read_text() == "mine"


def test_a_file_without_permission(tmp_path, monkeypatch):
    from pathlib import Path

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.root").write_bytes(b"root")
    monkeypatch.setattr(Path, "open", refuse)  # root may read anything, so what the system says is replaced
    done = call("inspect", tmp_path / "x.root")
    assert done.exit_code == 2
    assert "Permission denied" in done.output


def test_too_many_b_mesons(tmp_path):
    for more in ([], ["--poisson"]):
        done = call("generate", "--channel", "B+->K+mumu", "--b-mesons", "1e29", "--output", tmp_path / "x.root", *more)
        assert done.exit_code == 2
        assert "b_mesons = 1e+29" in done.output


def test_a_full_disk_is_noticed_before_any_event(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - 10**9, 10**9))
    done = call("generate", "--channel", "B0->K*0mumu", "--events", "1e12", "--output", tmp_path / "x.root")
    assert done.exit_code == 2
    assert "56.0 TB" in done.output
    assert "1.0 GB free" in done.output
    assert os.listdir(tmp_path) == []


def test_asking_for_a_gpu_where_there_is_none(tmp_path):
    from darkpenguin.generator.sampler.backend import missing_for_gpu

    if missing_for_gpu() is None:
        pytest.skip("this machine has a GPU")
    done = run(
        "generate", "--channel", "B+->K+mumu", "--events", 10, "--device", "gpu", "--output", tmp_path / "x.root"
    )
    assert done.returncode == 2
    assert "device = 'gpu'" in done.stderr


def test_ctrl_c_leaves_nothing(tmp_path):
    script = (  # a job in the background ignores the signal
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from darkpenguin.generator.commands.cli import main; main()"
    )
    command = ["generate", "--channel", "B0->K*0mumu", "--events", "2e8", "--output", str(tmp_path / "x.root")]
    process = subprocess.Popen([sys.executable, "-c", script, *command], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 600  # tables and compiled code first
    while not os.listdir(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert os.listdir(tmp_path), "it never began to write"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert os.listdir(tmp_path) == []


def test_a_warm_start_does_without_what_is_slow_to_import(sample, tmp_path):
    script = (
        "import sys; from darkpenguin.generator.commands.cli import app\n"
        f"app(['generate', '--channel', 'B0->K*0mumu', '--events', '100', '--output', {str(tmp_path / 'x.root')!r}],"
        " standalone_mode=False)\n"
        "slow = {'flavio', 'pandas', 'matplotlib', 'rich', 'numba.np.arrayobj'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("command", "code"), [("channels", 0), ("models nothing", 2)])
def test_the_process_ends_at_once_but_in_order(command, code):
    """With its exit code, with what it printed, and after what was registered for the end."""
    script = (
        "import atexit, sys; from darkpenguin.generator.commands import cli\n"
        "run = cli.main\n"
        "def main(): atexit.register(print, 'at the end'); run()\n"
        f"cli.main, sys.argv[1:] = main, {command.split()!r}\n"
        "cli.script()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stderr
    assert done.stdout.endswith("at the end\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_tables_and_names_are_printed_in_any_encoding(tmp_path, encoding):
    path = tmp_path / "χ.root"
    command = [sys.executable, "-m", "darkpenguin", "generate", "--channel", "B+->K+mumu", "--events", "10"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [*command, "--output", str(path)], env=environment, capture_output=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert path.exists()
    assert str(path).encode(encoding, "backslashreplace") in done.stdout


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from darkpenguin.generator.commands.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'pydantic', 'numba', 'flavio', 'matplotlib', 'uproot'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_a_damaged_cache_is_made_again_with_a_warning(sample, tmp_path):
    known = cache_folder()
    if known is None:
        pytest.skip("no folder is writable for a cache")
    copy = tmp_path / "cache"
    shutil.copytree(known, copy, ignore=shutil.ignore_patterns("compiled"))
    (copy / "compiled").symlink_to(known / "compiled")
    tables = list(copy.rglob("*.npz"))
    assert tables
    for table in tables:
        table.write_bytes(table.read_bytes()[:1000])
    done = run(
        "generate",
        "--channel",
        "B0->K*0mumu",
        "--model",
        "fig2",
        "--events",
        "1e5",
        "--seed",
        7,
        "--output",
        tmp_path / "x.root",
        env={**os.environ, "DARKPENGUIN_CACHE": str(copy)},
    )
    assert done.returncode == 0, done.stderr
    assert "warning" in done.stderr
    ours, theirs = (uproot.open(path)["events"]["phi"].array(library="np") for path in (tmp_path / "x.root", sample))
    assert np.array_equal(ours, theirs)


def test_charmonium_from_generate_to_predict(tmp_path):
    """Events with J/psi in the amplitude agree with the prediction and know how they were made."""
    path = tmp_path / "c.root"
    charm = ("--nonlocal", "dispersive", "--phases", "both-positive", "--resonance", "psi(3770).phase=0.5")
    done = call(
        "generate", "--channel", "B+->K+mumu", "--events", 30_000, *charm, "--output", path, "--check", "--seed", 5
    )
    assert done.exit_code == 0, done.output
    assert "GeV^2: J/psi and psi(2S)" not in done.output
    theory = json.loads(call("inspect", path, "--json").stdout)["card"]["model"]["theory"]
    assert theory["nonlocal"] == "dispersive"
    assert theory["resonances"]["psi(3770)"]["phase"] == 0.5
    assert call("validate", path).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(call("bin", path, "--bins", "1.1,8,11,20", "--format", "csv").stdout)))
    yields = [float(row["value"]) for row in rows if row["quantity"] == "yield"]
    assert yields[1] / sum(yields) > 0.85
    text = call("predict", "dBR", "--channel", "B+->K+mumu", "--bins", "8,11", *charm, "--format", "csv").stdout
    assert 3 * float(text.splitlines()[1].split(",")[-1]) == pytest.approx(1.019e-3 * 0.0597, rel=0.01)


@pytest.mark.parametrize("what", [("--bins", "6,9"), ("--q2", "1,10", "--points", "3")])
def test_predict_says_what_flavio_lacks(what):
    done = call("predict", "dBR", "--channel", "B+->K+mumu", *what)
    assert done.exit_code == 0
    assert done.stderr.count("q2 from 8.68 to 14 GeV^2: J/psi and psi(2S)") == 1
    assert "J/psi" not in call("predict", "dBR", "--channel", "B+->K+mumu", *what, "--nonlocal", "resonances").stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resonance", "J/psi.phase=1"), "theory.resonances: nonlocal = 'flavio' has no resonances"),
        (("--nonlocal", "resonances", "--resonance", "J/psi.width=-1"), "J/psi.width = -1: should be greater than 0"),
        (("--nonlocal", "resonances", "--resonance", "psi(4040).phase=1"), "psi(4040) is off; add on = true"),
        (("--nonlocal", "resonances", "--resonance", "J/psi"), "write NAME.FIELD=VALUE"),
        (("--nonlocal", "resonances", "--phases", "both"), "theory.phases = 'both': no such set of phases"),
        (("--nonlocal", "resonances", "--precision", "float32"), "theory.resonances.J/psi has a line shape"),
    ],
)
def test_mistakes_with_resonances_are_one_line(options, message, tmp_path):
    done = call("generate", "--channel", "B+->K+mumu", "--events", 10, *options, "--output", tmp_path / "x.root")
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
