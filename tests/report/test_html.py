"""The page: everything is in it, nothing is fetched, names are text."""

from __future__ import annotations

import base64
import datetime
import gzip
import itertools
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

import html5lib
import pytest

from tests.helpers.commands import Cli
from tests.helpers.studies import EVIL, analysed, evil, made, study
from ticketsearch.leaderboard.analysis import aggregate
from ticketsearch.leaderboard.fidelity import RULE as EXPLOITATION_RULE
from ticketsearch.leaderboard.studies import LoadedStudy
from ticketsearch.leaderboard.verdict import RULE
from ticketsearch.records.folder import SPEC
from ticketsearch.records.results import write_result
from ticketsearch.report import html as module
from ticketsearch.report import tables
from ticketsearch.report.html import RUNS_INSIDE, html_of, write_html
from ticketsearch.report.text import percent
from ticketsearch.report.verdicts import points, summary, verdict_cells

WHEN = datetime.datetime(2031, 2, 3, 4, 5, tzinfo=datetime.UTC)
SECTIONS = (
    "anytime",
    "leaderboard",
    "verdicts",
    "sparsity",
    "targets",
    "solved",
    "ratios",
    "breakdown",
    "densities",
    "seeds",
    "fidelity",
    "overlap",
    "baselines",
    "failures",
    "provenance",
    "reading",
)


def page_of(study: LoadedStudy) -> str:
    return html_of(study, analysed(study), WHEN)


@cache
def page() -> str:
    return page_of(study())


def parsed(text: str) -> ET.Element:
    """The page as a browser's parser takes it, any error of syntax raised; without Plotly, which is long."""
    text = text.replace(module._plotly(), "")
    root: ET.Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    return root


def text_of(element: ET.Element | None) -> str:
    assert element is not None
    return " ".join("".join(element.itertext()).split())


def line_of(row: ET.Element) -> str:
    """The texts of a row's cells, with a bar after each."""
    return "".join(f"{text_of(cell)} | " for cell in row)


def lines_of(root: ET.Element, section: str) -> list[str]:
    return [line_of(row) for row in root.findall(f".//section[@id='{section}']//tr")]


def unpacked(text: str, name: str) -> Any:
    found = re.search(f'id="{name}">([^<]+)<', text)
    assert found
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def test_it_is_one_small_file_that_fetches_nothing() -> None:
    assert len(page().encode()) < 5_000_000
    root = parsed(page())
    for element in root.iter():
        assert not {"src", "srcset", "action", "data", "poster", "background"} & set(element.attrib), element.tag
        assert element.attrib.get("href", "#").startswith("#")
        assert element.tag not in ("link", "iframe", "object", "embed", "base")
    assert "@import" not in page()
    [policy] = [e for e in root.iter("meta") if e.attrib.get("http-equiv") == "Content-Security-Policy"]
    assert policy.attrib["content"].startswith("default-src 'none'")


def test_its_parts_are_in_order_the_picture_first_and_have_headings() -> None:
    root = parsed(page())
    assert tuple(e.attrib["id"] for e in root.iter("section") if "id" in e.attrib) == SECTIONS
    assert root.attrib["lang"] == "en"
    assert text_of(root.find(".//title"))
    levels = [int(e.tag[1]) for e in root.iter() if re.fullmatch(r"h[1-6]", str(e.tag))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))  # none skipped
    for link in root.iter("a"):
        assert root.find(f".//*[@id='{link.attrib['href'][1:]}']") is not None, link.attrib["href"]
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids))


def test_every_verdict_is_there_with_its_numbers_and_the_rule() -> None:
    root, sections = parsed(page()), analysed(study())
    verdicts = root.find(".//section[@id='verdicts']")
    assert verdicts is not None
    assert RULE in text_of(verdicts)
    cards = verdicts.findall(".//section")
    assert len(cards) == len(sections) == 2
    for card, section in zip(cards, sections, strict=True):
        rows = [line_of(row) for row in card.iter("tr")]
        for verdict in section.verdicts:
            assert f"{verdict.strategy} | " in rows
            _, currency, ratio, interval, n, said = verdict_cells(verdict)
            sign = tables.SIGNS[verdict.outcome]
            assert any(row.startswith(f"{currency} | {sign} {said} | {ratio} | {interval} | {n} | ") for row in rows)


def test_figures_beside_no_verdict_are_greyed_and_reasoned() -> None:
    root = parsed(page_of(study(seeds=3)))
    verdicts = root.find(".//section[@id='verdicts']")
    assert verdicts is not None
    rows = [row for row in verdicts.iter("tr") if row.attrib.get("class") == "none"]
    assert len(rows) == 2 * 2 * 3  # sparsities, searches, currencies
    assert all("(" in text_of(row) and "no verdict" in text_of(row) for row in rows)
    for row in rows:
        notes = [a.attrib["href"][1:] for a in row.iter("a")]
        reasons = [text_of(root.find(f".//li[@id='{note}']")) for note in notes]
        assert "Only 3 paired seeds; a verdict takes 10." in reasons


def test_a_failed_control_is_said_plainly() -> None:
    shuffled = [
        one
        if one.strategy != "imp"
        else one.model_copy(
            update={
                "references": {
                    "shuffle-mask": one.references["shuffle-mask"].model_copy(update={"test_accuracy": 0.99})
                }
            }
        )
        for one in study().results
    ]
    text = page_of(LoadedStudy(shuffled))
    alerts = [text_of(e) for e in parsed(text).iter("p") if e.attrib.get("class") == "alert"]
    assert [a for a in alerts if "Failed control, shuffle-mask" in a and "not shown to be above" in a]


def test_every_contender_is_on_the_leaderboard_with_the_numbers_of_the_analysis() -> None:
    board = parsed(page()).find(".//table[@id='board']")
    assert board is not None
    rows = list(board.iter("tr"))[1:]
    sections = analysed(study())
    contenders = [(section, one) for section in sections for one in section.contenders]
    assert len(rows) == len(contenders) == 12
    for row, (section, one) in zip(rows, contenders, strict=True):
        cells = [text_of(cell) for cell in row]
        assert cells[0].startswith(one.label)
        assert (row.attrib["data-task"], row.attrib["data-sparsity"]) == (section.task, f"{section.sparsity:g}")
        assert cells[4] == percent(one.row.test_accuracy)
        assert cells[5].startswith("the reference" if one.label == section.reference else points(one.to_imp))
        assert cells[6].startswith(points(one.to_random))
        if one.to_imp is not None and one.to_imp.p_holm is not None:
            assert f"p {one.to_imp.p_holm:.2g}, n 10" in cells[5]
        assert float(row[4].attrib["data-value"]) == one.row.test_accuracy.mean


def test_a_family_too_large_for_its_seeds_is_not_called_not_told_apart() -> None:
    few, many = (page_of(study(seeds=n)) for n in (3, 10))
    assert "too few seeds</small>" in few
    assert "told apart</small>" not in few
    assert ">told apart</small>" in many


def test_every_figure_has_words_numbers_and_a_legend_for_all_it_draws() -> None:
    root = parsed(page())
    figures = unpacked(page(), "figures")
    drawn = root.findall(".//figure")
    assert [int(one.attrib["data-figure"]) for one in drawn] == list(range(len(figures)))
    for one in drawn:
        plots = figures[int(one.attrib["data-figure"])]
        buttons = [b.attrib["data-plot"] for b in one.iter("button") if "data-plot" in b.attrib]
        assert buttons == (list(plots) if len(plots) > 1 else [])
        picture = one.find(".//div[@role='group'][@class='plot']")
        assert picture is not None
        assert len(picture.attrib["aria-label"]) > 30
        assert len(list(one.iter("tr"))) > 1
        keys = {b.attrib["data-name"] for b in one.iter("button") if "data-name" in b.attrib}
        names = {trace.get("meta") for plot in plots.values() for trace in plot["data"]} - {None}
        assert names == keys, text_of(one.find("h3"))


def test_colours_are_the_page_s_so_that_they_follow_its_scheme() -> None:
    figures = json.dumps(unpacked(page(), "figures"))
    used = set(re.findall(r'"(--[a-z]+\d*)', figures)) - {"--none"}
    light, dark = page().split("@media(prefers-color-scheme:dark)")[:2]
    for scheme in (light, dark.split("}}")[0]):
        assert all(f"{name}:#" in scheme for name in used)
    assert not re.findall(r'"#[0-9a-f]{3,8}"|rgb', figures)


def test_names_are_text_wherever_they_stand() -> None:
    text = page_of(evil())
    root = parsed(text)
    assert len(list(root.iter("script"))) == 4
    assert not list(root.iter("img"))
    assert not [name for e in root.iter() for name in e.attrib if name.startswith("on")]
    for place in ("verdicts", "leaderboard", "seeds", "failures", "provenance"):
        assert EVIL in text_of(root.find(f".//section[@id='{place}']")), place
    figures = unpacked(text, "figures")
    labels = json.dumps([plot["layout"] for plots in figures for plot in plots.values()])
    hovers = json.dumps(
        [
            trace.get(key)
            for plots in figures
            for plot in plots.values()
            for trace in plot["data"]
            for key in ("text", "customdata", "hovertemplate")
        ]
    )
    assert "alert(1)" in hovers
    assert not re.findall(r"<(?!br>|extra>|/extra>)", labels + hovers)


def test_the_analysis_is_inside_and_is_the_same_that_is_printed() -> None:
    document = unpacked(page(), "analysis")
    sections = document["sections"]
    expected = [one.as_dict() for one in analysed(study())]
    for one in expected:
        for fidelity in one["fidelity"]:
            fidelity["pairs"] = []  # they are in runs and baselines
    assert sections == json.loads(json.dumps(expected))
    runs = document["runs"]
    assert [run["test_accuracy"] for run in runs] == [one.test_accuracy for one in study().results]
    assert document["baselines"]
    assert document["failures"]


def test_the_command_printed_for_getting_the_numbers_out_gets_them_out(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page())
    command = next(text_of(e) for e in parsed(page()).iter("code") if "base64" in text_of(e))
    command = command.replace("python", sys.executable, 1)
    out = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == unpacked(page(), "analysis")


def test_runs_that_would_make_the_page_too_large_are_left_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RUNS_INSIDE >= 1000
    monkeypatch.setattr(module, "RUNS_INSIDE", 10)
    text = page_of(study(seeds=2))
    assert unpacked(text, "analysis")["runs"] is None
    assert "--csv" in text


def test_strategies_are_summed_up_over_sparsities() -> None:
    rows = lines_of(parsed(page()), "sparsity")
    for one in aggregate(analysed(study())):
        assert f"{one.label} | tiny | 0.8, 0.9 | {summary(one.middle, 100, 1)} | 20 | " in rows


def test_failures_rules_and_the_dense_network_are_told() -> None:
    root = parsed(page())
    assert "sa | t0=1 | tiny | 0.8 | 3 | 9ep | NaN | " in lines_of(root, "failures")
    assert EXPLOITATION_RULE in text_of(root.find(".//section[@id='fidelity']"))
    dense = "".join(lines_of(root, "baselines"))
    assert "82.0 ± 0.0 | 2000 | 10 | " in dense
    assert "The dense network is above random masks" in dense


def test_a_study_without_imp_or_searches_or_masks_says_so() -> None:
    alone = LoadedStudy([made("snip", seed, 0.8, 0.1, 1.0) for seed in range(2)])
    root = parsed(page_of(alone))
    for place, sentence in {
        "verdicts": "No search was run here",
        "targets": "There are no targets",
        "solved": "There are no targets",
        "ratios": "No search was run",
        "fidelity": "No search was run",
        "overlap": "The masks are not here",
        "failures": "No planned run",
    }.items():
        assert sentence in text_of(root.find(f".//section[@id='{place}']")), place


def test_the_same_study_gives_the_same_page() -> None:
    assert page_of(study()) == page()


def test_the_command_writes_page_and_table(cli: Cli, tmp_path: Path) -> None:
    for one in study(seeds=2).results:
        folder = tmp_path / "runs" / one.run
        folder.mkdir(parents=True)
        (folder / SPEC).write_text("{}")
        write_result(folder, one)
    outcome = cli("report", tmp_path / "runs", "--html", tmp_path / "r.html", "--csv", tmp_path / "r.csv", "--json")
    assert outcome.code == 0, outcome.err
    assert {"groups", "sections"} <= json.loads(outcome.out).keys()
    assert "<!DOCTYPE html>" in (tmp_path / "r.html").read_text()[:20]
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 1 + len(study(seeds=2).results)


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_html(tmp_path / "r.html", study(seeds=2), analysed(study(seeds=2)), WHEN)
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    assert "2031-02-03 04:05 UTC" in (tmp_path / "r.html").read_text()
