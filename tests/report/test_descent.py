"""Curves over capacity in the terminal, in Markdown, as a picture, and as a chapter of the page."""

from __future__ import annotations

import datetime
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.helpers.commands import Cli
from tests.helpers.descents import made_up
from tests.helpers.studies import analysed as sections_of
from tests.helpers.studies import study
from ticketsearch.leaderboard.descent import analysed
from ticketsearch.leaderboard.studies import write_archive
from ticketsearch.records.outcomes import write_outcomes
from ticketsearch.report import descent as report
from ticketsearch.report.beside import chapter_of
from ticketsearch.report.charts.descent import MEASURES
from ticketsearch.report.html import html_of

WHEN = datetime.datetime(2031, 2, 3, tzinfo=datetime.UTC)
SVG = "{http://www.w3.org/2000/svg}"


def test_a_line_for_each_network_and_what_they_say() -> None:
    lines = report.markdown(analysed(made_up())).splitlines()
    rows = [line[2:-2].split(" | ") for line in lines if line.startswith("| ")]
    assert {len(row) for row in rows} == {len(report.COLUMNS)}
    assert len(rows) == 1 + len(made_up()[0].points)
    said = "\n".join(lines)
    assert "made-up, label noise 0.2 (flip), 300 training examples, 100 steps, 3 seeds" in said
    assert "dense: the training error first reaches zero (at most 1 %) between 10 and 100 weights." in said
    assert "imp: as networks get smaller, test accuracy falls by 10.0 ± 2.5 points to 50.0 ± 5.0 %" in said
    assert "then rises by 20.0 ± 2.5 points to 70.0 ± 7.5 % at 100 weights" in said
    assert "of width 1, 1,000 weights, 60.0 ± 2.5 %, the sparsest ticket" in said
    alone = "\n".join(report.sentences(analysed(made_up(1))))
    assert "one seed tells nothing of chance" in alone


def test_the_picture_has_a_marker_for_each_network(tmp_path: Path) -> None:
    path = tmp_path / "curves.svg"
    report.write_picture(path, analysed(made_up()))
    root = ET.parse(path).getroot()
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"dense", "imp", "random", "imp fits all"} <= set(texts)
    marked = [element for element in root.iter(f"{SVG}path") if "scale(.7)" in element.attrib.get("transform", "")]
    networks = 3 + 2 * (1 + 4)  # masks with the dense network that they begin at
    assert len(marked) == 3 * networks


def test_it_is_a_chapter_of_the_page_with_a_line_in_its_contents(tmp_path: Path) -> None:
    archive = tmp_path / "a.json.gz"
    write_outcomes(archive, made_up())
    whole, chapter = study(2), chapter_of(archive)
    page = html_of(whole, sections_of(whole), WHEN, [chapter, chapter])
    for number in (1, 2):
        assert f'<li><a href="#beside-{number}">Double descent, made-up</a></li>' in page
        section = page[page.index(f'<section id="beside-{number}"') :]
        section = section[: section.index("</section>")]
        assert section.count("<figure ") == 1
        assert "test accuracy falls by 10.0" in section
        assert section.count("<tr>") > 2 * len(made_up()[0].points)
    assert page.index('id="reading"') < page.index('id="beside-1"')
    assert list(chapter.figures[0].plots) == [name for name, _, _ in MEASURES]


def test_the_command_measures_keeps_and_reports(cli: Cli, tmp_path: Path) -> None:
    archive, picture, page = (tmp_path / name for name in ("a.json.gz", "a.svg", "a.html"))
    command = ["descent", "--task", "tests.helpers.descents:task", "--task-set", "label_noise=0.2", "--engine", "dense"]
    command += ["--sparsities", "0.5,0.8", "--widths", "0.25,1", "--seeds", "0-1", "--steps", "20step"]
    command += ["--out", str(tmp_path / "descent")]
    shown = cli(*command, "--archive", archive, "--svg", picture)
    assert shown.code == 0, shown.err
    assert "2 seeds, each with 2 dense networks, and with masks at 2 sparsities (imp, random); 20 steps" in shown.err
    assert "tiny, label noise 0.2 (uniform), 300 training examples, 20 steps, 2 seeds" in shown.out
    assert picture.read_text().startswith("<svg")
    told = json.loads(cli(*command, "--json").out)
    assert [one["seed"] for one in told["outcomes"]] == [0, 1]
    assert told["outcomes"][0]["task_options"]["label_noise"] == 0.2
    assert told["said"]
    assert "| dense, width 1 |" in cli(*command, "--markdown").out
    write_archive(tmp_path / "runs.json.gz", study(2))
    [folder] = (tmp_path / "descent").iterdir()
    done = cli("report", tmp_path / "runs.json.gz", "--html", page, "--beside", archive, "--beside", folder)
    assert done.code == 0, done.err
    assert 'id="beside-2"' in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["descent", "--json", "--markdown"], "exclude each other"),
        (["descent", "--sparsities", "a,b"], "--sparsities 'a,b' is not a list of numbers"),
        (["descent", "--widths", "0.5,0.5"], "names a number twice"),
        (["descent", "--tolerance", "2"], "tolerance 2 is not a fraction"),
        (["descent", "--svg", "nowhere/at/all.svg"], "there is no folder"),
        (["report", "--beside", "a.json.gz"], "say where with --html"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: str, cli: Cli) -> None:
    shown = cli(*arguments)
    assert shown.code == 2
    assert words in shown.err
    assert len(shown.err.splitlines()) == 1
