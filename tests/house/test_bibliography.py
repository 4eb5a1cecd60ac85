"""The bibliography, one file: every paper that code, data, cards and pages cite is in it, each once, by its number."""

import re
from pathlib import Path

TOP = Path(__file__).parents[2]
ROOMS = ("generator", "kinematics", "physics", "docs")
KINDS = {".py", ".yml", ".toml", ".md", ".cu"}
NUMBER = r"(?:[a-z-]+/\d{7}|\d{4}\.\d{4,5})"
ARXIV = re.compile(
    rf"(?:arXiv:|arxiv\.org/abs/|arxiv: '?)({NUMBER})|\b((?:hep-(?:ph|ex|th|lat)|physics)/\d{{7}})", re.I
)
DOI = re.compile(r"\b(10\.\d{4,5}/[\w./()-]*\w)")
JOURNAL = re.compile(r"\b(?:Phys|Nucl|Proc|Eur|Lett)\.[^()\n]{1,30}\((\d{4})\) ([A-Z]?\d+)")
"""Year and page of a paper that is cited by its journal: Phys. Rev. 133 (1964) B1549."""


def cited(text):
    """What a text cites: arXiv numbers, DOIs, year and page."""
    papers = {one or other for one, other in ARXIV.findall(text)}
    return papers | set(DOI.findall(text)) | set(JOURNAL.findall(text))


def test_what_is_cited_is_seen():
    text = "arXiv:1704.06188, hep-ph/0106067; doi:10.1145/2063384.2063405. Phys. Rev. 133 (1964) B1549, 2017.12345"
    assert cited(text) == {"1704.06188", "hep-ph/0106067", "10.1145/2063384.2063405", ("1964", "B1549")}


def test_every_citation_is_in_the_bibliography():
    text = (TOP / "docs" / "references.bib").read_text(encoding="utf-8")
    assert "$" not in text  # the site shows titles as they are written: formulas in Unicode, no TeX
    assert "\\" not in text
    entries = re.split(r"\n(?=@)", text)
    papers = [dict(re.findall(r"(\w+) = \{(.*?)\}(?=, \w+ = |\}\s*$)", entry)) for entry in entries]
    assert all({"author", "title", "year"} <= set(paper) for paper in papers)
    known = [
        name
        for p in papers
        for name in (p.get("eprint"), p.get("doi"), (p["year"], p.get("pages")))
        if name is not None
    ]
    numbers = [name for name in known if isinstance(name, str)]
    assert len(numbers) == len(set(numbers)), "a paper is there twice"
    files = [
        path
        for room in ROOMS
        for path in (TOP / room).rglob("*")
        if path.suffix in KINDS and "_build" not in path.parts
    ]
    files += [TOP / "README.md", TOP / "CHANGELOG.md", TOP / "outputs" / "README.md"]
    missing = {
        f"{name} in {path.relative_to(TOP)}"
        for path in files
        for name in cited(path.read_text(encoding="utf-8")) - set(known)
    }
    assert missing == set()
