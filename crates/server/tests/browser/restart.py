"""Restarts the server of the dashboard under an open page in a real Chromium, while another process records.

    restart.py --tapeline target/release/tapeline [--chromium /usr/bin/chromium] [--out DIR]

Checks that a page over empty topics says what to do and shows the first symbol; that the page reconnects by itself and then shows every bar of the session with the numbers of the API: those of
before, those that were recorded while the server was down, and those after. The same for a restart when all is recorded, and
for a page that is opened while the server is still reading the topics.
"""

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dashboard import FLAGS, PATIENCE_MS, Page, Tapeline, check, fetch
from playwright.sync_api import sync_playwright

SYMBOL, INTERVAL = "SPY", "5m"
#: Bars of the regular session, all of which the table behind the chart holds.
BARS = 78
VIEW = f"#/market?symbol={SYMBOL}&interval={INTERVAL}&session=regular"
EMPTY = f"#/market?interval={INTERVAL}&session=regular"
TAPE = Path(__file__).parents[4] / "data/us-equities"
#: Seconds of the session in a second.
SPEED = 600


def stored(files):
    """Starts of the stored bars of the regular session, in nanoseconds."""
    with sqlite3.connect(f"file:{files / 'market.db'}?mode=ro", uri=True, timeout=60) as database:
        rows = database.execute("SELECT start FROM bars WHERE symbol = ? AND interval = ? AND start >= ? AND start < ? ORDER BY start",
                                [SYMBOL, INTERVAL, 1381239000 * 10**9, 1381262400 * 10**9]).fetchall()
    return [start for (start,) in rows]


def until(what, condition):
    end = time.monotonic() + PATIENCE_MS / 1000
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not so after {PATIENCE_MS // 1000} s")
        time.sleep(0.1)
    return value


def shown(page):
    """The finished bars of the table behind the chart, oldest first, as it is written when it is opened."""
    page.page.evaluate("""() => {
        document.querySelector('.chart-foot details').open = false;
        document.querySelectorAll('.chart-foot table').forEach((table) => table.remove());
    }""")
    # The event of the closing comes first.
    page.page.wait_for_timeout(50)
    page.page.evaluate("document.querySelector('.chart-foot details').open = true")
    page.page.wait_for_selector(".chart-foot table tbody tr")
    rows = page.page.eval_on_selector_all(
        ".chart-foot table tbody tr",
        "rows => rows.map(row => [new URL(row.querySelector('a').href.replace('#/', '')).searchParams.get('time'), "
        "...[...row.cells].slice(1).map(cell => cell.innerText.replaceAll(',', ''))])")
    # Open, high, low, close, volume, trades; then the state.
    return [(row[0], *map(float, row[1:7])) for row in reversed(rows) if not row[7].startswith("forming")]


def equal(page, base, what):
    """The page shows what the API has, bar by bar, as soon as nothing changes any more."""
    end = time.monotonic() + PATIENCE_MS / 1000
    names = ("open", "high", "low", "close", "volume", "trades")
    while True:
        bars = fetch(base, f"bars?symbol={SYMBOL}&interval={INTERVAL}&session=regular&limit=1000")["rows"]
        wanted, found = [(bar["start"], *(float(bar[name]) for name in names)) for bar in bars], shown(page)
        if len(wanted) == BARS and found == wanted:
            break
        if time.monotonic() > end:
            raise AssertionError(f"{what}: {len(found)} bars on the page, {len(wanted)} in the API; not on the page: "
                                 f"{sorted(set(wanted) - set(found))[:3]}, only there: {sorted(set(found) - set(wanted))[:3]}")
        time.sleep(0.5)
    check(True, f"{what}: all {BARS} bars of the session are the API's")


def state(page, wanted):
    page.wait("wanted => document.querySelector('#status').dataset.state === wanted", wanted)


class Server:
    def __init__(self, tapeline, urls):
        self.tapeline, self.urls, self.port = tapeline, urls, 0
        self.start()

    def start(self):
        self.process = Tapeline([self.tapeline, "serve", "--listen", f"127.0.0.1:{self.port}", *self.urls])
        self.address = self.process.address
        self.port = int(self.address.rsplit(":", 1)[1])

    def stop_under(self, page):
        page.down = True
        self.process.stop()
        state(page, "down")


def empty(browser, server, out):
    """A page over topics without records."""
    page = Page(browser, server.address)
    page.page.goto(f"{server.address}/{EMPTY}")
    page.page.wait_for_selector("text=No symbols yet")
    page.page.wait_for_selector("text=Waiting for the first trade")
    page.page.screenshot(path=out / "market-empty.png")
    check(True, "an empty server says what to do")
    page.page.evaluate("window.sameDocument = true")
    return page


def recorded_meanwhile(page, server, recording, files, out):
    """The server is restarted while bars are recorded."""
    page.page.wait_for_selector(".legend span")
    check(f"symbol={SYMBOL}" in page.page.url, "the first symbol that is published is shown")
    page.wait("() => document.querySelector('#zone').innerText === 'America/New_York (EDT)'")
    until("bars are recorded", lambda: len(stored(files)) >= 12)
    server.stop_under(page)
    page.page.screenshot(path=out / "market-disconnected.png")
    before = len(stored(files))
    until("bars are recorded while the server is down", lambda: len(stored(files)) >= before + 8)
    check(recording.poll() is None, f"{len(stored(files)) - before} bars were recorded while the server was down, and recording continues")
    server.start()
    state(page, "live")
    check(recording.wait(timeout=PATIENCE_MS / 1000 * 5) == 0, "the rest was recorded after the restart")
    equal(page, server.address, "a restart while bars are recorded")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tapeline", required=True)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    files = Path(tempfile.mkdtemp(prefix="tapeline-restart-"))
    out = options.out or files / "pictures"
    out.mkdir(parents=True, exist_ok=True)
    urls = ["--topic", f"sqlite:{files / 'topic.db'}", "--store", f"sqlite:{files / 'market.db'}"]
    subprocess.run([options.tapeline, "init", *urls], check=True, capture_output=True)
    server = Server(options.tapeline, urls)
    source = f"tape:{TAPE}?kinds=trades&symbols={SYMBOL}&dates=20131008&speed={SPEED}"
    recording = None
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=FLAGS)
            page = empty(browser, server, out)
            recording = subprocess.Popen([options.tapeline, "run", "--quiet", "--source", source, *urls])
            recorded_meanwhile(page, server, recording, files, out)
            server.stop_under(page)
            server.start()
            early = Page(browser, server.address)
            early.page.goto(f"{server.address}/{VIEW}")
            early.page.wait_for_selector(".legend span")
            equal(early, server.address, "a page opened while the server reads the topics")
            state(page, "live")
            equal(page, server.address, "a restart when all is recorded")
            check(page.page.evaluate("window.sameDocument"), "the page was not loaded again")
            early.close()
            page.close()
            browser.close()
    finally:
        if recording and recording.poll() is None:
            recording.terminate()
            recording.wait(timeout=60)
        if server.process.process.poll() is None:
            server.process.stop()
    print(f"restart: all checks passed; pictures in {out}")


if __name__ == "__main__":
    sys.exit(main())
