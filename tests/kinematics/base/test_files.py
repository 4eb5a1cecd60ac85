"""Files appear whole or not at all: one way to write them."""

import errno
import os
import stat
import subprocess
import sys

import pytest
from darkpenguin.kinematics.base.errors import InputError, TryAgainError
from darkpenguin.kinematics.base.files import OutputLock, WholeFile, check_target, write_text


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "a"
    with WholeFile(path) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask  # as of any new file, not for the owner alone


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_nothing_stays_behind_and_the_old_file_is_kept(tmp_path, stop):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(stop), WholeFile(path, overwrite=True) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise stop
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_replaced_unless_asked_for(tmp_path, monkeypatch, links):
    path = tmp_path / "a"
    if not links:  # a file system without hard links

        def refuse(*_):
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    with WholeFile(path, overwrite=False) as temporary:
        temporary.write_text("first")
    assert path.read_text() == "first"
    with pytest.raises(InputError, match="the file exists; give --overwrite"):  # noqa: SIM117
        with WholeFile(path, overwrite=False) as temporary:
            temporary.write_text("second")
    assert path.read_text() == "first"
    with WholeFile(path, overwrite=True) as temporary:
        temporary.write_text("third")
    assert path.read_text() == "third"
    assert os.listdir(tmp_path) == ["a"]


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "far").mkdir()
    path = tmp_path / "a"
    path.symlink_to(tmp_path / "far" / "b")
    for text in ("new", "newer"):
        write_text(path, text, overwrite=True)
        assert path.is_symlink()
        assert (tmp_path / "far" / "b").read_text() == text
    assert os.listdir(tmp_path / "far") == ["b"]


@pytest.mark.parametrize("step", ["link", "replace", "fsync", "body"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "link":  # and what is tried where there are no links
        monkeypatch.setattr(os, "replace", full)
    if step != "body":
        monkeypatch.setattr(os, step, full)
    with pytest.raises(TryAgainError, match=r"output = .*a': No space left on device; nothing was written"):  # noqa: PT012, SIM117
        with WholeFile(tmp_path / "a", overwrite=step == "replace") as temporary:
            temporary.write_text("x")
            if step == "body":
                full()
    assert os.listdir(tmp_path) == []


def test_a_second_writer_is_refused(tmp_path):
    path = tmp_path / "a"
    (tmp_path / "link").symlink_to(path)
    with WholeFile(path, overwrite=True) as first:
        first.write_text("first")
        for name in ("a", "link"):
            with pytest.raises(InputError, match=rf"output = .*{name}': process {os.getpid()} on .* is writing it"):
                WholeFile(tmp_path / name, overwrite=True).open()
            with pytest.raises(InputError, match="is writing it"):
                check_target(tmp_path / name, overwrite=True)
    assert path.read_text() == "first"
    write_text(path, "second", overwrite=True)
    assert path.read_text() == "second"
    assert sorted(os.listdir(tmp_path)) == ["a", "link"]


def test_caches_are_written_by_several_at_once(tmp_path):
    path = tmp_path / "a"
    with (
        WholeFile(path, overwrite=True, lock=False) as first,
        WholeFile(path, overwrite=True, lock=False) as second,
    ):
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # whoever ends last


WRITERS = """
import os, signal, sys
from darkpenguin.kinematics.base.errors import InputError, TryAgainError
from darkpenguin.kinematics.base.files import WholeFile
try:
    with WholeFile("a") as temporary:
        temporary.write_text(str(os.getpid()))
        print("writing", flush=True)
        sys.stdin.readline()
except InputError as error:
    print(error, flush=True)
"""


def test_what_killed_jobs_left_is_removed_by_the_next_one(tmp_path):
    """One of two jobs with one output is refused; a killed one holds nobody up, and nothing of it stays."""
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    one, two = (subprocess.Popen([sys.executable, "-c", WRITERS], cwd=tmp_path, **pipe) for _ in range(2))
    said = [one.stdout.readline(), two.stdout.readline()]
    assert sorted(text.startswith("writing") for text in said) == [False, True], said
    writer, other = (one, two) if said[0].startswith("writing") else (two, one)
    assert f"process {writer.pid} on" in said[writer is one]
    writer.kill()
    for process in (writer, other):
        process.communicate()
    foreign, young = tmp_path / ".a.0123456789ab.part", tmp_path / ".a.0123456789ac.part"  # of another host
    for path in (foreign, young, tmp_path / ".a.b.0123456789ab.part"):  # the last of a file a.b
        path.touch()
    os.utime(foreign, (0, 0))
    assert len(os.listdir(tmp_path)) == 5
    write_text(tmp_path / "a", "x")
    assert sorted(os.listdir(tmp_path)) == [".a.0123456789ac.part", ".a.b.0123456789ab.part", "a"]


def test_who_holds_the_lock_removes_what_killed_jobs_left(tmp_path):
    """A cache, which has no lock, cannot know that nobody is writing."""
    path = tmp_path / "a"
    killed = WholeFile(path, lock=False).open()
    with WholeFile(path, lock=False):
        assert killed.exists()
    with OutputLock(path) as lock, WholeFile(path, overwrite=True, lock=lock):
        assert not killed.exists()
        assert lock.held
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """Nobody is refused at the beginning; at the end the second one is."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(InputError, match="the file exists"), WholeFile(tmp_path / "a") as first:  # noqa: PT012
        first.write_text("first")
        write_text(tmp_path / "a", "second")
    assert (tmp_path / "a").read_text() == "second"
    assert os.listdir(tmp_path) == ["a"]


def test_a_terminated_command_leaves_nothing(tmp_path):
    """SIGTERM in the middle: the command line leaves through the context managers."""
    code = (
        "import os, signal\n"
        "from darkpenguin.generator.commands.cli import _terminated\n"
        "from darkpenguin.kinematics.base.files import WholeFile\n"
        "signal.signal(signal.SIGTERM, _terminated)\n"
        "with WholeFile('a') as temporary:\n"
        "    temporary.write_text('half'); assert len(os.listdir()) == 2; os.kill(os.getpid(), signal.SIGTERM)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert found.returncode == 143
    assert os.listdir(tmp_path) == []


def test_devices_and_long_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="that is a device"):
        check_target("/dev/null", overwrite=True)
    with pytest.raises(InputError, match="choose a shorter one"):
        check_target(tmp_path / ("x" * 245))
    with pytest.raises(InputError, match="nothing was written"):
        write_text(tmp_path / "missing" / "a", "x")
