"""The page in a browser, opened from disk, without a network."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.studies import EVIL, analysed, evil, study
from ticketsearch.report.glance import headline, sentence, variants
from ticketsearch.report.html import write_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, Request

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium; apt-get install chromium"),
]
WHEN = datetime.datetime(2031, 2, 3, tzinfo=datetime.UTC)
WIDTHS = (390, 1440)
FIRST = "#board tbody tr:not([hidden]) th"


@dataclass
class Tab:
    """A page and what it complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)


def listen(tab: Tab) -> None:
    """Keep what the page says on its console, throws, asks the reader, and asks the network for."""

    def said(message: ConsoleMessage) -> None:
        tab.complaints.append(f"{message.type}: {message.text}")

    def thrown(error: Error) -> None:
        tab.complaints.append(str(error))

    def asked(dialog: Dialog) -> None:
        tab.complaints.append(dialog.message)
        dialog.dismiss()

    def fetched(request: Request) -> None:
        if not request.url.startswith(("file:", "blob:", "data:")):
            tab.complaints.append(request.url)

    tab.page.on("console", said)
    tab.page.on("pageerror", thrown)
    tab.page.on("dialog", asked)
    tab.page.on("request", fetched)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pages")
    write_html(out / "study.html", study(), analysed(study()), WHEN)
    write_html(out / "evil.html", evil(), analysed(evil()), WHEN)
    return out


Open = Callable[..., Tab]


@pytest.fixture
def opened(browser: Browser, folder: Path) -> Iterator[Open]:
    """Open a page; at the end, it must not have complained or asked for anything."""
    tabs = []

    def open_page(name: str = "study", width: int = 1440, scheme: str = "light") -> Tab:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            offline=True,
            has_touch=width < 500,
            accept_downloads=True,
        )
        tab = Tab(context.new_page())
        tabs.append(tab)
        listen(tab)
        tab.page.goto((folder / f"{name}.html").as_uri())
        return tab

    yield open_page
    for tab in tabs:
        assert tab.complaints == []
        tab.page.context.close()


def draw_all(page: Page) -> None:
    """Wait until every figure that is shown is drawn, without scrolling."""
    page.wait_for_function(
        """() => [...document.querySelectorAll('figure[data-figure]:not([hidden])')]
            .every(figure => figure.querySelector('.plot .main-svg'))"""
    )


@pytest.mark.parametrize("name", ["study", "evil"])
@pytest.mark.parametrize("width", WIDTHS)
def test_all_figures_are_drawn_and_nothing_reaches_beyond_the_page(opened: Open, width: int, name: str) -> None:
    page = opened(name, width).page
    draw_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = page.evaluate("""[...document.querySelectorAll('body *')]
        .filter(e => !e.closest('.scroll, pre, .plot, .skip'))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))""")
    assert beyond == []
    assert page.evaluate("""[...document.querySelectorAll('figure:not([hidden]) .plot')].every(plot => {
        const box = plot.getBoundingClientRect(), svg = plot.querySelector('.main-svg').getBoundingClientRect();
        return Math.abs(box.width - svg.width) < 2; })""")


def test_names_are_text_in_figures_too(opened: Open) -> None:
    page = opened("evil").page
    draw_all(page)
    assert page.locator(".plot img, .plot script, .plot a[href^='http']").count() == 0
    shown = page.locator("#seeds .plot .ytick text").all_text_contents()
    assert EVIL[:30] in "".join(shown)


def order(page: Page) -> list[float]:
    column = 5
    cells = page.locator(f"#board tbody tr:not([hidden]) td:nth-child({column})")
    return [float(cell.get_attribute("data-value") or "nan") for cell in cells.all()]


def test_the_leaderboard_sorts_by_mouse_and_by_keyboard(opened: Open) -> None:
    page = opened().page
    head = page.locator("#board th[scope=col]", has_text="accuracy %")
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"  # best first
    assert order(page) == sorted(order(page), reverse=True)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert order(page) == sorted(order(page))
    names = page.locator("#board th[scope=col]", has_text="strategy")
    names.locator("button").focus()
    page.keyboard.press("Space")
    assert names.get_attribute("aria-sort") == "ascending"
    assert head.get_attribute("aria-sort") == "none"
    labels = page.locator(FIRST).all_inner_texts()
    assert labels == sorted(labels)


def test_what_has_no_value_is_last_in_either_order(opened: Open) -> None:
    page = opened().page
    board = page.locator("#board tbody tr:nth-child(2) td:nth-child(8)")
    board.evaluate("cell => { cell.dataset.value = 'inf'; cell.id = 'none'; }")
    for _ in range(2):
        page.locator("#board th[scope=col]", has_text="mean rank").locator("button").click()
        assert page.locator("#board tbody tr:last-child #none").count() == 1


def test_the_leaderboard_and_the_figures_are_filtered(opened: Open) -> None:
    page = opened().page
    page.locator("#all").check()
    assert page.locator("#count").inner_text() == "12 lines"
    page.locator("#by-sparsity").select_option("0.9")
    assert page.locator(FIRST).count() == 6
    assert page.locator("#count").inner_text() == "6 of 12 lines"
    assert page.locator("#anytime figure:visible").count() == 1
    assert page.locator("#sparsity figure:visible").count() == 2  # about all sparsities
    page.locator("#by-text").fill("imp 11")
    assert page.locator(FIRST).count() == 1
    page.locator("#by-text").fill("nothing of the kind")
    assert page.locator(FIRST).count() == 0
    page.locator("#by-text").fill("")
    page.locator("#by-sparsity").select_option("")
    page.locator("#by-task").select_option("tiny")
    assert page.locator(FIRST).count() == 12


def test_figures_follow_the_dark_scheme_and_its_changes(opened: Open) -> None:
    page = opened(scheme="dark").page
    draw_all(page)

    def colours() -> tuple[str, str]:
        text = page.locator("#anytime .plot .xtick text").first.evaluate("node => getComputedStyle(node).fill")
        return text, page.evaluate("getComputedStyle(document.body).color")

    dark = colours()
    assert dark[0] == dark[1]
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(500)
    light = colours()
    assert light[0] == light[1] != dark[0]


def test_buttons_choose_the_currency_and_the_legend_hides(opened: Open) -> None:
    page = opened().page
    figure = page.locator("#targets figure").first
    figure.scroll_into_view_if_needed()
    title = figure.locator(".ytitle")
    title.wait_for()
    assert "epochs" in (title.text_content() or "")
    figure.get_by_role("button", name="CPU seconds").click()
    assert "CPU seconds" in (title.text_content() or "")
    before = figure.locator(".plot .trace").count()
    figure.locator(".legend button", has_text="snip").click()
    page.wait_for_timeout(200)
    assert figure.locator(".plot .trace").count() < before
    assert figure.locator(".legend button", has_text="snip").get_attribute("aria-pressed") == "false"


def test_the_numbers_are_saved_as_json(opened: Open, tmp_path: Path) -> None:
    page = opened().page
    with page.expect_download() as waited:
        page.locator("#save").click()
    waited.value.save_as(tmp_path / "analysis.json")
    assert len(json.loads((tmp_path / "analysis.json").read_text())["sections"]) == 2


def test_contrast_is_enough_in_both_schemes(opened: Open) -> None:
    """WCAG: 4.5 for text, 3 for what is drawn."""
    for scheme in ("light", "dark"):
        page = opened(scheme=scheme).page
        found = page.evaluate("""() => {
            const style = getComputedStyle(document.documentElement), read = n => style.getPropertyValue(n).trim();
            const light = c => { const h = c.length === 4 ? [...c.slice(1)].map(x => x + x).join('') : c.slice(1);
              const [r, g, b] = [0, 2, 4].map(i => parseInt(h.slice(i, i + 2), 16) / 255)
                .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
              return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
            const ratio = (a, b) => { const [x, y] = [light(read(a)), light(read(b))].sort((p, q) => q - p);
              return (x + 0.05) / (y + 0.05); };
            const text = ['--ink', '--muted', '--link'].flatMap(n => [ratio(n, '--paper'), ratio(n, '--raised')]);
            text.push(ratio('--ink', '--heat'), ratio('--alert', '--alert-bg'), ratio('--ink', '--alert-bg'));
            const drawn = [0, 1, 2, 3, 4, 5, 6, 7].map(i => ratio('--c' + i, '--paper'));
            return [Math.min(...text), Math.min(...drawn)]; }""")
        assert found[0] >= 4.5
        assert found[1] >= 3


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_screen_is_a_sentence_and_a_picture(opened: Open, width: int) -> None:
    page = opened(width=width).page
    draw_all(page)
    sections = analysed(study())
    first = headline(sections)
    assert page.locator("h1").inner_text() == sentence(sections[first])
    picture = page.locator("#anytime figure:visible")
    assert picture.count() == 1
    box = picture.locator(".plot").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] / 2 < 900  # at least the upper half of it, on a phone
    other = 1 - first
    page.locator("#glance").select_option(str(other))
    assert page.locator("h1").inner_text() == sentence(sections[other])
    assert f"{sections[other].sparsity:g}" in picture.locator("h3").inner_text()
    picture.get_by_role("button", name="CPU seconds").click()
    assert "CPU seconds" in (picture.locator(".xtitle").text_content() or "")


def test_variants_of_a_strategy_are_folded_until_they_are_asked_for(opened: Open) -> None:
    page = opened().page
    families = [family for section in analysed(study()) for family in variants(section).values()]
    assert page.locator(FIRST).count() == len(families) < sum(map(len, families))
    assert f"best of {max(map(len, families))} settings" in page.locator("#board").inner_text()
    page.locator("#all").check()
    assert page.locator(FIRST).count() == sum(map(len, families))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_serious_fault(opened: Open, width: int, scheme: str) -> None:
    import axe_core_python

    page = opened(width=width, scheme=scheme).page
    draw_all(page)
    script = next(Path(axe_core_python.__file__).parent.rglob("axe.min.js")).read_text()
    page.evaluate(script)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [
        (one["id"], one["nodes"][0]["html"][:200])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ] == []
