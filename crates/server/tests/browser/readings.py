"""Drives the Readings view of `tapeline demo --iot --serve` in a real Chromium.

    readings.py --tapeline target/release/tapeline [--chromium /usr/bin/chromium] [--out DIR]

Checks that list and chart move, that the numbers are those of the API and of `tapeline query`, that interval, zone, search
and keyboard work, that a link opens what it names, what an empty server and a stopped one show, that axe finds nothing and
that console and network stay clean. Leaves pictures in DIR.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from dashboard import FLAGS, PATIENCE_MS, SIZES, VIEWS, Page, Tapeline, check, fetch
from playwright.sync_api import sync_playwright

SERIES = "machine.temperature"
VIEWS["readings"] = "#/readings"
VIEWS["series"] = f"#/readings?series={SERIES}&feed=demo&interval=1h"
TABLE = ".chart-foot table tbody tr"


def moves(page):
    page.go("readings")
    page.page.wait_for_selector(".legend span")
    for name, selector in [("list", ".watch tbody"), ("title", "h2"), ("chart's label", "#chart")]:
        read = "selector => document.querySelector(selector).innerText + document.querySelector(selector).ariaLabel"
        before = page.page.evaluate(read, selector)
        page.wait(f"([selector, before]) => ({read})(selector) !== before", [selector, before])
        check(True, f"the {name} moves")


def equals(page, base, tapeline, store):
    """The page's table, the API and `tapeline query` have the same bars."""
    page.go("series")
    page.page.wait_for_selector(".legend span")
    page.page.locator("summary", has_text="Bars as a table").click()
    page.page.wait_for_selector(TABLE)
    cells = page.page.eval_on_selector_all(TABLE, "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.replaceAll(',', '')))")
    api = fetch(base, f"reading-bars?series={SERIES}&interval=1h&order=desc&limit={len(cells)}")["rows"]
    output = subprocess.run([tapeline, "query", "reading-bars", SERIES, "--interval", "1h", "--format", "json", "--store", f"sqlite:{store}"],
                            capture_output=True, text=True, check=True).stdout
    stored = {bar["start"]: bar for bar in json.loads(output)}
    check(len(cells) == 100, "the table behind the chart has the last 100 bars")
    for shown, row in zip(cells, api):
        for place in (row, stored[row["start"]]):
            wanted = [place[name] for name in ("first", "min", "max", "last")]
            if [float(cell) for cell in shown[1:5]] != [float(text) for text in wanted] or shown[6] != str(place["count"]):
                raise AssertionError(f"bar {row['start']}: the page shows {shown}, elsewhere {wanted}")
    check(True, f"{len(cells)} bars are the same on the page, in the API and in the store")
    page.page.locator("summary", has_text="Last readings").click()
    page.page.wait_for_selector("details:last-of-type table tbody tr")
    newest = fetch(base, f"readings?series={SERIES}&order=desc&limit=1")["rows"][0]
    check(newest["value"] in page.text("details:last-of-type tbody tr"), "the last reading is shown with all of its digits")


def used_by_keyboard(page):
    page.go("series")
    page.page.wait_for_selector(".legend span")
    page.page.keyboard.press("/")
    check(page.page.evaluate("document.activeElement.id") == "search", "/ goes to the search")
    page.page.keyboard.type("no such series")
    page.page.wait_for_selector("text=No such series")
    page.page.locator("#search").fill("road")
    page.page.wait_for_selector(".watch button:text-is('road.speed')")
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    page.wait("() => document.querySelector('#chart').ariaLabel.startsWith('road.speed, 1h')")
    check("series=road.speed" in page.page.url, "a series is chosen by keyboard, and is in the link")
    page.page.locator("#chart").focus()
    page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("ArrowLeft")
    page.wait("() => /mean .* lowest .* highest .* readings/.test(document.querySelector('#live').innerText)")
    check(True, "arrow keys read the bars aloud")
    page.page.locator("[data-interval='1d']").click()
    page.wait("() => document.querySelector('#chart').ariaLabel.startsWith('road.speed, 1d')")
    legend = page.text(".legend")
    page.page.locator("[aria-label='Time zone']").select_option("local")
    page.wait("before => document.querySelector('.legend').innerText !== before", legend)
    check("Europe/Berlin" in page.text("#zone") and "tz=local" in page.page.url, "times follow the chosen zone")
    page.page.keyboard.press("Escape")


def links(page):
    """A series that is nowhere, and one whose interval has no bars."""
    page.page.goto(f"{page.base}/#/readings?series=nowhere")
    page.page.wait_for_selector("text=No 1m bars of nowhere yet")
    check(True, "a series without bars says what to do")


def empty(browser, tapeline, folder, out):
    """A server without readings, which then stops."""
    urls = ["--topic", f"sqlite:{folder / 'empty-topic.db'}", "--store", f"sqlite:{folder / 'empty-store.db'}"]
    subprocess.run([tapeline, "init", *urls], check=True, capture_output=True)
    server = Tapeline([tapeline, "serve", "--listen", "127.0.0.1:0", *urls])
    page = Page(browser, server.address)
    page.go("readings")
    page.page.wait_for_selector("text=No readings yet")
    page.page.wait_for_selector("text=Waiting for the first reading")
    page.page.screenshot(path=out / "readings-empty.png")
    page.down = True
    server.stop()
    page.page.wait_for_selector("text=The server cannot be reached.")
    page.page.screenshot(path=out / "readings-down.png")
    check(True, "an empty server and a stopped one say what to do")
    page.close()


def pictures(browser, base, out):
    axe = Axe()
    for scheme in ("light", "dark"):
        for size in SIZES:
            page = Page(browser, base, size, scheme)
            page.go("series")
            page.page.wait_for_selector(".legend span")
            page.page.wait_for_timeout(500)
            page.page.screenshot(path=out / f"readings-{size}-{scheme}.png")
            check(page.page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), f"readings fits a {size} screen")
            found = axe.run(page.page).response["violations"]
            check(not found, f"axe finds nothing in {size}, {scheme} {[(one['id'], one['nodes'][0]['target']) for one in found] or ''}")
            page.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tapeline", required=True)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tapeline-readings-"))
    out = options.out or folder / "pictures"
    out.mkdir(parents=True, exist_ok=True)
    files = folder / "demo"
    demo = Tapeline([options.tapeline, "demo", "--iot", "--serve", "--listen", "127.0.0.1:0", "--dir", str(files), "--rate", "100"])
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=FLAGS)
            page = Page(browser, demo.address)
            page.page.set_default_timeout(PATIENCE_MS)
            moves(page)
            page.close()
            demo.until("still serving")
            page = Page(browser, demo.address)
            equals(page, demo.address, options.tapeline, files / "market.db")
            used_by_keyboard(page)
            links(page)
            page.close()
            pictures(browser, demo.address, out)
            demo.stop()
            empty(browser, options.tapeline, folder, out)
            browser.close()
    finally:
        if demo.process.poll() is None:
            demo.stop()
    print(f"readings: all checks passed; pictures in {out}")


if __name__ == "__main__":
    sys.exit(main())
