"""The numbers that arXiv:1704.06188 prints, as the page on validation shows them: each comes out, or says why not."""

import importlib.util
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "docs" / "paper.py"
SPEC = importlib.util.spec_from_file_location("paper", SOURCE)
PAPER = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PAPER)


@pytest.mark.parametrize("number", PAPER.NUMBERS, ids=lambda number: f"{number.where}: {number.what}")
def test_a_number_of_the_paper(number):
    """It agrees to the digits that are printed, or is known not to, with the reason beside it."""
    found = number.found()
    assert number.agrees(found) == (number.differs is None)
    if number.differs is not None:
        assert number.remark
        assert found == pytest.approx(number.differs, rel=5e-3, abs=0)


def test_what_does_not_agree_says_so(monkeypatch):
    bent = PAPER.NUMBERS[0]._replace(low=3.0)
    monkeypatch.setattr(PAPER, "NUMBERS", (bent,))
    assert [row[4] for row in PAPER.table()] == ["no"]
