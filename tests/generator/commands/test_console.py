"""Progress in the log of a job."""

from darkpenguin.generator.commands import console


def test_progress_off_a_terminal_is_plain_lines_from_time_to_time(monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.progress_bar("generating", 1000) as progress:
        for _ in range(6):
            clock[0] += 15.0
            progress(100)
    with console.progress_bar("scanning", 0) as progress:
        clock[0] += 31.0
        progress(7)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "generating: 200 of 1,000 (20%), 120 s left, 6.67e+00/s",
        "generating: 400 of 1,000 (40%), 90 s left, 6.67e+00/s",
        "generating: 600 of 1,000 (60%), 60 s left, 6.67e+00/s",
        "scanning: 7, 2.26e-01/s",
    ]
