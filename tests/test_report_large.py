"""A large plan's files: every number is one of the JSON's, text stays text, and the page works in a browser."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsers
import openpyxl
import pytest
from report_cases import EVIL, LIMIT, OBJECTIVES, OPENS, POINTS, large_view
from test_report import Page

from optimizer.report import formats
from optimizer.report.figures import Charts
from optimizer.report.planning import plan_files
from optimizer.report.view import View

SIZES = {"narrow": 400, "wide": 1280}
FIRST = 3
# A number in running text, with its sign and separators; not the digits of a name or a date.
NUMBER = re.compile(r"(?<![\w.,-])[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?(?![\w-]|[.,]\d)")
# What the page says in words of its own: per 1,000, 1 in 20, worst 10 %, 90 % intervals, the best on the scale.
WORDS = {"1,000", "1", "20", "5", "10", "90"}


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    return large_view(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def charts(view: View) -> Charts:
    return Charts(view)


@pytest.fixture(scope="module")
def folder(view: View, charts: Charts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("report")
    for name, content in plan_files(view, directory, charts).items():
        (directory / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


@pytest.fixture(scope="module")
def told(folder: Path) -> tuple[set[float], list[str]]:
    """Every number and every text of the JSON files."""
    numbers: set[float] = set()
    texts: list[str] = []

    def collect(data: Any) -> None:
        if isinstance(data, dict):
            texts.extend(data)
        for part in data.values() if isinstance(data, dict) else data if isinstance(data, list) else []:
            collect(part)
        if isinstance(data, str):
            texts.append(data)
        elif isinstance(data, int | float):
            numbers.add(float(data))

    for name in ("plan.json", "front.json", "curves.json"):
        collect(json.loads((folder / name).read_text()))
    return numbers, texts


@pytest.fixture(scope="module")
def page_read(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


def test_every_number_of_the_page_is_one_of_the_json(page_read: Page, told: tuple[set[float], list[str]]) -> None:
    assert len(page_read.values) > 2000
    assert {value for value, _ in page_read.values} <= told[0]


def test_numbers_outside_of_data_elements_are_quoted_from_the_json(
    folder: Path, told: tuple[set[float], list[str]]
) -> None:
    html = (folder / "report.html").read_text()
    html = re.sub(r"<(data|svg|style|script|title)\b.*?</\1>", " ", html, flags=re.S)
    numbers, texts = told
    quoted = set(NUMBER.findall(" ".join(texts)))
    # Counts and rounded proofs are told in words; each has its figure in the JSON.
    quoted |= {formats.number(value) for value in numbers} | WORDS
    front = json.loads((folder / "front.json").read_text())
    plan = json.loads((folder / "plan.json").read_text())
    loose = sum(not rule["binding"] for rule in plan["rules"])
    counts = (
        len(front["points"]),
        front["certificate"]["solves"],
        len(plan["rules"]),
        loose,
        len(plan["warnings"]),
    )
    quoted |= {str(count) for count in (*counts, len(plan["rules"]) - loose)}
    proofs = formats.plan_proof(plan["certificate"]) + formats.front_proof(front["certificate"], POINTS)
    quoted |= set(NUMBER.findall(proofs)) | set(NUMBER.findall(" ".join(plan["versions"].values())))
    left = [found for found in NUMBER.findall(re.sub(r"<[^>]+>", " ", html)) if found not in quoted]
    assert left == []


def test_what_charts_say_in_words_is_in_the_json(charts: Charts, told: tuple[set[float], list[str]]) -> None:
    written = {write(value) for value in told[0] for write in (formats.number, formats.signed)}
    written |= {f"{100 * value:.1f}" for value in told[0]} | {str(POINTS)}
    for name, figure in charts.named():
        left = [found for found in NUMBER.findall(figure.words) if found not in written]
        assert left == [], name


def test_lengths_start_at_zero(charts: Charts) -> None:
    for name, figure in charts.named():
        drawn = figure.chart.to_dict(validate=False)
        for layer in drawn["layer"]:
            mark = layer["mark"]["type"] if isinstance(layer["mark"], dict) else layer["mark"]
            if mark not in ("bar", "area", "rect") or name.startswith("calendar"):
                continue
            ends = [part["encoding"][axis].get("scale", {}) for part in drawn["layer"] for axis in "xy"
                    if part["encoding"].get(axis, {}).get("type") == "quantitative"]  # fmt: skip
            stated = [scale for scale in ends if scale]
            assert stated, name
            assert all(scale.get("zero") or min(scale["domain"]) <= 0 for scale in stated), name


def test_every_estimate_has_an_interval_or_says_that_it_has_none(folder: Path) -> None:
    html = (folder / "report.html").read_text()
    sections = dict(re.findall(r'<h2 id="(\w+)">.*?</h2>(.*?)</section>', html, flags=re.S))
    said = r"90 % interval|intervals|without interval|no interval"
    # Sections that hold figures of the plan only: spend, shares of spend, rules stated, definitions.
    bare = {"before", "moves", "scale", "flighting", "made"}
    for name, text in sections.items():
        if name not in bare and "<data" in text:
            assert re.search(said, text), name
    assert "intervals are under" in sections["moves"]


def test_every_number_of_the_workbook_is_one_of_the_json(folder: Path, told: tuple[set[float], list[str]]) -> None:
    book = openpyxl.load_workbook(folder / "plan.xlsx", data_only=True)
    formulas = openpyxl.load_workbook(folder / "plan.xlsx")
    plan = json.loads((folder / "plan.json").read_text())
    numbers, texts = sorted(told[0]), set(told[1])
    # Excel keeps 17 digits, as JSON does; live sums are checked against what they add up.
    seen = 0
    for sheet in book.worksheets:
        for row in sheet.iter_rows(min_row=FIRST):
            for cell in row:
                source = formulas[sheet.title][cell.coordinate].value
                assert cell.hyperlink is None
                if isinstance(source, str) and formulas[sheet.title][cell.coordinate].data_type == "f":
                    assert re.fullmatch(r"=(SUM\(\w+:\w+\)|\w+-\w+)", source)
                elif isinstance(cell.value, int | float) and not isinstance(cell.value, bool):
                    seen += 1
                    assert any(
                        cell.value == pytest.approx(each, rel=1e-15, abs=0) for each in _near(numbers, cell.value)
                    )
                elif isinstance(cell.value, str):
                    texts.add(cell.value)
    assert seen > 3000
    assert set(EVIL) <= {row[0].value for row in book["Allocation"].iter_rows(min_row=FIRST)}
    total = {row[0].value: [cell.value for cell in row] for row in book["Allocation"].iter_rows(min_row=FIRST)}[
        "Total"
    ]
    assert total[1:4] == pytest.approx(
        [plan["totals"][key] for key in ("current", "plan", "difference")], abs=1e-6
    )
    pacing = list(book["Pacing"].iter_rows(min_row=FIRST, values_only=True))
    assert list(pacing[0][1:-1]) == plan["pacing"]["periods"]
    for row in pacing[1:-1]:
        assert list(row[1:-1]) == pytest.approx(plan["pacing"]["spend"][row[0]])
        assert row[-1] == pytest.approx(sum(row[1:-1]))


def _near(numbers: list[float], value: float) -> list[float]:
    from bisect import bisect_left

    place = bisect_left(numbers, value)
    return numbers[max(0, place - 1) : place + 2]


def test_csv_files_hold_the_numbers_of_the_json(folder: Path, told: tuple[set[float], list[str]]) -> None:
    for name in ("spend.csv", "outcomes.csv", "front.csv"):
        text = (folder / name).read_text()
        head, *rows = csv.reader(io.StringIO(text))
        for row in rows:
            for key, value in zip(head[1:], row[1:], strict=True):
                if re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", value):
                    assert float(value) in told[0], (name, key)
    assert EVIL[0] in (folder / "spend.csv").read_text()
    # A formula is text for a spreadsheet when an apostrophe stands before it.
    assert "'=HYPERLINK" in (folder / "spend.csv").read_text()


def test_five_questions_are_answered_from_the_page_alone(page_read: Page, view: View) -> None:
    text = " ".join(page_read.text.split())
    plan = view.data
    # Where should money move?
    first = plan["decision"]["moves"][0]
    assert f"What to move {'Decision level'}" in text
    for part in (first["from"], first["to"], formats.number(first["amount"]), first["reason"]):
        assert part in text
    # What do we gain and give up? How sure are we?
    for row in plan["outcomes"]:
        assert formats.percent(row["change"], sign=True) in text
        assert (
            f"{formats.percent(row['change_low'], sign=True)} to {formats.percent(row['change_high'], sign=True)}"
            in text
        )
        assert formats.chance(row["p_better"]) in text
    # What stops more?
    assert f"loosening “{view.dearest['rule']}” brings most" in text
    for rule in view.binding:
        assert rule["rule"] in text
    # Where does the next 100,000 go?
    ahead = plan["outlook"]["next"]
    assert "Where the next 100,000 EUR goes" in text
    assert sum(row["difference"] for row in ahead["lines"]) == pytest.approx(100_000)
    for row in ahead["lines"]:
        assert formats.signed(row["difference"]) in text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from browsers.opened()


@pytest.fixture(scope="module")
def front(folder: Path) -> Any:
    return json.loads((folder / "front.json").read_text())


@pytest.fixture(scope="module")
def pages(browser: Any, folder: Path) -> dict[str, Any]:
    """The page on either screen, with what it said to the console and asked the network for."""
    found: dict[str, Any] = {}
    for name, width in SIZES.items():
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        page, said, asked = context.new_page(), [], []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto((folder / "report.html").as_uri())
        found[name] = {"page": page, "said": said, "asked": asked}
    return found


@pytest.fixture
def page(pages: dict[str, Any]) -> Any:
    return pages["wide"]["page"]


def shown(page: Any, table: str) -> list[list[float]]:
    """Unrounded values of a table's rows, those of intervals left out."""
    script = """id => [...document.querySelectorAll('#' + id + ' tr')].map(
        row => [...row.querySelectorAll('td > data')].map(cell => Number(cell.value)))"""
    values: list[list[float]] = page.evaluate(script, table)
    return values


def check_shown(page: Any, front: Any, view: View, point: int) -> None:
    """What is shown is the plan of this number in front.json, to the last digit."""
    assert page.get_attribute("#choose", "data-point") == str(point)
    kpis = [row["kpi"] for row in view.kpis]
    assert [row[-1] for row in shown(page, "chosen-kpis")] == [
        front["outcomes"][point][kpi]["expected"] for kpi in kpis
    ]
    assert [row[-1] for row in shown(page, "chosen-lines")] == [
        front["points"][point][f"spend {line}"] for line in view.scenario.lines
    ]
    assert page.inner_text("#chosen-title").startswith(f"Plan {point + 1} of {POINTS}")
    assert page.locator("#front-charts .chosen").count() == 3


def slide(page: Any, slider: str, value: int) -> None:
    page.eval_on_selector(
        slider, f"one => {{ one.value = {value}; one.dispatchEvent(new Event('input', {{bubbles: true}})); }}"
    )


def best(front: Any, weights: list[float], floors: dict[str, float]) -> int:
    """The point that `Front.pick` is defined to take: the largest weighted sum of steps among those allowed."""
    names = list(OBJECTIVES)

    def worth(point: Any) -> float:
        total = 0.0
        for name, weight in zip(names, weights, strict=True):
            worst, ideal = front["objectives"][name]["scale"]
            total += weight / sum(weights) * (point[name] - worst) / (ideal - worst)
        return total

    kept = [
        place
        for place, point in enumerate(front["points"])
        if all(point[name] >= least for name, least in floors.items())
    ]
    return max(kept, key=lambda place: worth(front["points"][place]))


def test_it_opens_from_disk_offline_and_says_nothing_to_the_console(pages: dict[str, Any]) -> None:
    for opened in pages.values():
        assert opened["said"] == []
        assert [url.split(":")[0] for url in opened["asked"]] == ["file"]


def test_a_large_report_is_small_and_opens_soon(browser: Any, folder: Path) -> None:
    file = folder / "report.html"
    assert file.stat().st_size < LIMIT
    taken = []
    for _ in range(3):
        page = browser.new_page()
        begun = time.perf_counter()
        page.goto(file.as_uri())
        taken.append(time.perf_counter() - begun)
        page.close()
    assert min(taken) < OPENS, taken


def test_points_are_chosen_by_click(page: Any, front: Any, view: View) -> None:
    for point in (0, 57, POINTS - 1):
        page.locator("#front-charts .front_marks").nth(0).locator("path").nth(point).dispatch_event("click")
        check_shown(page, front, view, point)
    for row in front["picks"]:
        page.locator("#choose button", has_text=row["pick"]).click()
        check_shown(page, front, view, row["point"])


def test_weights_and_floors_move_the_pick(page: Any, front: Any, view: View) -> None:
    names = list(OBJECTIVES)
    for weights in ((80, 10, 10), (0, 100, 0), (20, 20, 60)):
        for place, weight in enumerate(weights):
            slide(page, f"#weight-{place}", weight)
        check_shown(page, front, view, best(front, list(weights), {}))
    slide(page, "#floor-0", 70)
    values = [point[names[0]] for point in front["points"]]
    floor = min(values) + 0.7 * (max(values) - min(values))
    assert page.evaluate("Number(document.querySelector('#floor-said-0 data').value)") == pytest.approx(floor)
    check_shown(page, front, view, best(front, [20, 20, 60], {names[0]: floor}))
    for place in range(3):
        slide(page, f"#floor-{place}", 100)
    assert page.inner_text("#chosen-title") == "No plan of the front keeps all these floors."
    assert shown(page, "chosen-lines") == []
    for place in range(3):
        slide(page, f"#floor-{place}", 0)


def test_it_can_be_used_by_keyboard_alone(browser: Any, folder: Path, front: Any, view: View) -> None:
    page = browser.new_page()
    page.goto((folder / "report.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.focus("#walk")
    begun = int(page.input_value("#walk"))
    step = -1 if begun == POINTS - 1 else 1
    page.keyboard.press("ArrowRight" if step > 0 else "ArrowLeft")
    check_shown(page, front, view, begun + step)
    page.keyboard.press("End")
    check_shown(page, front, view, POINTS - 1)
    reached = []
    for _ in range(len(front["picks"]) + 6):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline not in ("none", ""), page.evaluate("document.activeElement.outerHTML")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        if reached[-1] == front["picks"][0]["pick"]:
            page.keyboard.press("Enter")
            check_shown(page, front, view, front["picks"][0]["point"])
    assert reached[-6:] == [f"{kind}-{place}" for kind in ("weight", "floor") for place in range(3)]


@pytest.mark.parametrize("size", SIZES)
def test_no_screen_is_too_narrow(pages: dict[str, Any], size: str) -> None:
    page = pages[size]["page"]
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]
    # Nothing sticks out of the page but what lies within a table that scrolls by itself.
    out = """() => [...document.querySelectorAll('main *')].filter(one => !one.closest('.wide') &&
        one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(out) == []


def test_labels_of_charts_do_not_overlap_and_are_not_cut(page: Any) -> None:
    # Texts within one chart: boxes that share area, and boxes beyond the drawing.
    script = """() => { const bad = []; for (const svg of document.querySelectorAll('figure svg')) {
        const frame = svg.getBoundingClientRect(), seen = [], chart = svg.getAttribute('aria-label').slice(0, 40);
        for (const text of svg.querySelectorAll('text')) { const box = text.getBoundingClientRect();
          if (!text.textContent.trim()) continue;
          if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1)
            bad.push(['cut', chart, text.textContent]);
          for (const [other, words] of seen) {
            const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
            const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
            if (across > 2 && down > 4)
              bad.push(['overlap', chart, words, text.textContent]); }
          seen.push([box, text.textContent]); } } return bad; }"""
    assert page.evaluate(script) == []


def test_names_in_wider_letters_are_still_seen(browser: Any, folder: Path) -> None:
    """Where a machine has no Arial, names reach beyond the drawing, into the margins of the page."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((folder / "report.html").as_uri())
    page.add_style_tag(content="svg text { font-size: 13.8px !important; }")
    script = """() => [...document.querySelectorAll('figure svg')].filter(svg =>
        getComputedStyle(svg).overflow !== 'visible' || [...svg.querySelectorAll('text')].some(text =>
        text.getBoundingClientRect().left < 0)).length"""
    assert page.evaluate(script) == 0


def test_names_that_look_like_code_stay_text(page: Any) -> None:
    text = page.inner_text("#allocation >> xpath=..")
    for name in EVIL:
        assert name in text
    assert page.evaluate("[...document.scripts].length") == 2
