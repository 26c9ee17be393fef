"""Drives the dashboard of `tapeline demo --serve` in a real Chromium.

    dashboard.py --tapeline target/release/tapeline [--chromium /usr/bin/chromium] [--out DIR] [--rate N]

Checks that the page moves, that its numbers are those of the API and of `tapeline query`, that it can be used by
keyboard, that a gap and its backfill appear, that axe finds nothing, that the console stays empty and that no request leaves
this machine. Leaves pictures of every view in DIR. `restart.py` restarts the server, `readings.py` drives the Readings view.
"""

import argparse
import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

SIZES = {"phone": (390, 844, 2), "laptop": (1366, 768, 1), "wide": (1920, 1080, 1)}
SYMBOL, OTHER = "SPY", "IBM"
VIEWS = {
    "market": f"#/market?symbol={SYMBOL}&interval=1m&ind=vwap,ema20,rsi14",
    "explain": f"#/explain?symbol={SYMBOL}&time=2013-10-08T15:30:00Z&interval=1m",
    "proof": "#/proof",
    "pipeline": "#/pipeline",
    "alerts": "#/alerts",
    "forecasts": "#/forecasts",
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
PATIENCE_MS = 120_000


class Tapeline:
    """A process that serves; its address is read from what it prints."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []
        self.address = self.until(r"dashboard: (http://\S+?)/?$").group(1)

    def until(self, pattern):
        for line in self.process.stdout:
            self.lines.append(line)
            found = re.search(pattern, line.strip())
            if found:
                return found
        raise SystemExit(f"tapeline ended before it printed /{pattern}/:\n" + "".join(self.lines))

    def stop(self):
        self.process.terminate()
        self.process.stdout.read()
        self.process.wait(timeout=60)


def fetch(base, path):
    with urllib.request.urlopen(f"{base}/api/v1/{path}", timeout=60) as reply:
        return json.load(reply)


def check(condition, what):
    if not condition:
        raise AssertionError(what)
    print(f"ok: {what}", flush=True)


class Page:
    """A page that must stay silent and on this machine."""

    def __init__(self, browser, base, size="laptop", scheme="light"):
        width, height, scale = SIZES[size]
        self.base, self.troubles = base, []
        self.context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale,
                                           color_scheme=scheme, timezone_id="Europe/Berlin", reduced_motion="reduce")
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        # While the server is down on purpose, a failed request is what must happen.
        self.down = False
        self.page.on("console", self.console)
        self.page.on("pageerror", lambda error: self.troubles.append(f"page error: {error}"))
        self.page.on("request", self.request)

    def console(self, message):
        # A server that stops cuts the stream of events that it is sending.
        expected = self.down and any(code in message.text for code in ("ERR_CONNECTION", "ERR_INCOMPLETE_CHUNKED_ENCODING"))
        if message.type in ("error", "warning") and not expected:
            self.troubles.append(f"console {message.type}: {message.text}")

    def request(self, request):
        if not request.url.startswith((self.base, "data:")):
            self.troubles.append(f"request to {request.url}")

    def go(self, view):
        self.page.goto(f"{self.base}/{VIEWS[view]}")

    def wait(self, expression, argument=None):
        self.page.wait_for_function(expression, arg=argument, timeout=PATIENCE_MS)

    def text(self, selector):
        return self.page.locator(selector).first.inner_text()

    def close(self):
        self.context.close()
        check(not self.troubles, f"console and network are clean {self.troubles[:3] or ''}")


def moves(page):
    """The chart's legend, the tape and the watchlist change by themselves."""
    page.go("market")
    page.page.wait_for_selector(".tape tbody tr")
    page.page.wait_for_selector(".legend span")
    for name, selector in [("chart", ".legend"), ("tape", ".tape tbody"), ("watchlist", ".watch tbody")]:
        before = page.text(selector)
        page.wait("([selector, before]) => document.querySelector(selector).innerText !== before", [selector, before])
        check(True, f"the {name} moves")
    check("America/New_York (EDT)" in page.text("#zone"), "times are the exchange's, and the zone is shown")


def equals(page, base, tapeline, store):
    """The page's table, the API and `tapeline query` show the same bars."""
    page.go("market")
    page.page.wait_for_selector(".legend span")
    page.page.locator("summary", has_text="Bars as a table").click()
    page.page.wait_for_selector(".chart-foot table tbody tr")
    rows = page.page.eval_on_selector_all(
        ".chart-foot table tbody tr",
        "rows => rows.map(row => [new URL(row.querySelector('a').href.replace('#/', '')).searchParams.get('time'), "
        "...[...row.cells].slice(1).map(cell => cell.innerText.replaceAll(',', ''))])")
    # The last columns are state and alerts.
    shown = {row[0]: row[1:] for row in rows if row[-2] in ("final", "closed")}
    check(len(shown) >= 5, f"the table behind the chart holds {len(shown)} finished bars")
    api = {bar["start"]: bar for bar in fetch(base, f"bars?symbol={SYMBOL}&interval=1m&limit=1000")["rows"]}
    output = subprocess.run([tapeline, "query", "bars", SYMBOL, "--interval", "1m", "--format", "json", "--store",
                             f"sqlite:{store}"], capture_output=True, text=True, check=True).stdout
    stored = {bar["start"]: bar for bar in json.loads(output)}
    for start, cells in shown.items():
        for place in (api[start], stored[start]):
            wanted = [place[name] for name in ("open", "high", "low", "close", "volume")] + [str(place["trades"])]
            found = cells[:6]
            same = all(float(one) == float(other) for one, other in zip(found, wanted))
            if not same:
                raise AssertionError(f"bar {start}: the page shows {found}, elsewhere {wanted}")
    check(True, f"{len(shown)} bars are the same on the page, in the API and in the store")


def keyboard(page):
    """Everything by keyboard: search, chart cursor, explanation, views."""
    page.go("market")
    page.page.wait_for_selector(".legend span")
    page.page.keyboard.press("/")
    check(page.page.evaluate("document.activeElement.id") == "search", "/ goes to the search")
    page.page.keyboard.type(OTHER.lower())
    page.page.keyboard.press("Enter")
    page.wait("name => location.hash.includes(`symbol=${name}`)", OTHER)
    page.wait("name => document.querySelector('#chart').ariaLabel.startsWith(name)", OTHER)
    page.page.locator("#chart").focus()
    page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("ArrowLeft")
    page.wait("() => /open .* high .* low .* close .* volume/.test(document.querySelector('#live').innerText)")
    first = page.page.locator("#live").inner_text()
    page.page.keyboard.press("PageUp")
    page.wait("before => document.querySelector('#live').innerText !== before", first)
    check(True, "arrow keys read the bars aloud")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#why-high")
    check(f"symbol={OTHER}" in page.page.url, "Enter explains the bar")
    page.page.keyboard.press("4")
    page.page.wait_for_selector(".flow")
    check(page.page.url.endswith("#/pipeline"), "digits choose the view")


def explains(page, base):
    """Why is this bar's high what it is: by mouse, from the chart."""
    page.go("market")
    page.page.wait_for_selector(".legend span")
    box = page.page.locator("#chart").bounding_box()
    page.page.mouse.click(box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.5)
    page.page.wait_for_selector("#why-high")
    high = page.text("#why-high strong").rstrip("?").replace(",", "")
    time_of_bar = re.search(r"time=([^&]+)", page.page.url).group(1)
    bar = fetch(base, f"bars?symbol={SYMBOL}&interval=1m&from={time_of_bar}&limit=1")["rows"][0]
    check(float(bar["high"]) == float(high), f"the high {high} that is explained is the bar's")
    check(" on venue " in page.text("#why-high p"), "the print that set it is named")


def documented(page, base):
    """The path in docs/dashboard.md, by keyboard: from the chart to why the high of 15:20 is 165.99."""
    page.page.goto(f"{page.base}/#/market?symbol={SYMBOL}&interval=1m")
    page.wait("name => document.querySelector('#chart')?.ariaLabel.startsWith(`${name}, 1m bars`)", SYMBOL)
    # A pointer that rests on the chart would choose the bar under it whenever the chart scrolls.
    page.page.mouse.move(1, 1)
    page.page.locator("#chart").focus()
    page.page.keyboard.press("End")
    starts = [bar["start"] for bar in fetch(base, f"bars?symbol={SYMBOL}&interval=1m&order=desc&limit=500")["rows"]]
    for _ in range(starts.index("2013-10-08T19:20:00Z")):
        page.page.keyboard.press("ArrowLeft")
    page.wait("() => document.querySelector('.legend').innerText.includes('08 Oct 2013, 15:20:00')")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#why-high")
    check(page.text("#why-high strong") == "165.99?" and " on venue " in page.text("#why-high p"), "the bar of 15:20 explains its high of 165.99")
    page.page.locator("[name=policy]").select_option("all")
    page.page.locator("form button.primary").click()
    page.page.wait_for_selector(".badge:text-is('policy all')")
    check("policy=all" in page.page.url, "another policy makes another bar")


def older(page):
    """Older bars load when the chart is scrolled to its first bar."""
    page.page.goto(f"{page.base}/#/market?symbol={SYMBOL}&interval=1s")
    page.wait("name => document.querySelector('#chart')?.ariaLabel === `${name}, 1s bars, 500 loaded`", SYMBOL)
    page.page.locator("#chart").focus()
    page.page.keyboard.press("Home")
    page.wait("name => document.querySelector('#chart').ariaLabel === `${name}, 1s bars, 1500 loaded`", SYMBOL)
    check(True, "older bars load on scroll")


def restated(page, base, topic):
    """A bar that is restated and incomplete is marked as soon as it is emitted, without a reload."""
    page.page.goto(f"{page.base}/#/market?symbol={SYMBOL}&interval=1m")
    page.wait("name => document.querySelector('#chart')?.ariaLabel.startsWith(`${name}, 1m bars`)", SYMBOL)
    bar = fetch(base, f"bars?symbol={SYMBOL}&interval=1m&order=desc&limit=1")["rows"][0]
    append(topic, "bars", {**bar, "id": "restated", "revision": 2, "late": 1, "complete": False})
    page.page.wait_for_selector(".legend .badge:text-is('restated 2×')")
    page.page.wait_for_selector(".legend .badge:text-is('incomplete')")
    page.page.locator("#chart").focus()
    page.page.keyboard.press("End")
    page.wait("() => /restated 2 times, incomplete: a gap touches it/.test(document.querySelector('#live').innerText)")
    check(True, "a restated and incomplete bar is marked, and read aloud")


def gap_appears(page, topic):
    """A gap of the ledger, open and then filled, without a reload."""
    page.go("proof")
    page.page.wait_for_selector("text=No gaps")
    gap = {"id": "lean.sip|test|1", "feed": "lean.sip", "symbols": [SYMBOL], "from": "2013-10-08T14:00:00Z",
           "to": "2013-10-08T14:02:00Z", "cause": "connection reset by peer", "state": "open"}
    append(topic, "gaps", gap)
    page.page.wait_for_selector(".badge:text-is('open')")
    append(topic, "gaps", {**gap, "state": "closed", "proof": {"fetched": 812, "counted_again": 812, "digest": "9c"}})
    page.page.wait_for_selector(".badge:text-is('closed')")
    check("812" in page.text("section[aria-label='Gap ledger']"), "a gap and its backfill appear")


def append(topic, name, value):
    """Appends to a topic of the embedded engine as the gap ledger does."""
    database = sqlite3.connect(topic, timeout=60)
    with database:
        (number,) = database.execute("SELECT id FROM topics WHERE name LIKE '%.' || ?", [name]).fetchone()
        (offset,) = database.execute("SELECT coalesce(max(offset) + 1, 0) FROM messages WHERE topic = ? AND number = 0", [number]).fetchone()
        database.execute("INSERT INTO messages (topic, number, offset, stamp_ms, key, headers, payload) VALUES (?, 0, ?, ?, ?, 'kind=3:gap', ?)",
                         [number, offset, int(time.time() * 1000), value["id"], json.dumps(value).encode()])
    database.close()


def verifies(page):
    """Verify now: source, topic and store are equal."""
    page.go("proof")
    page.page.locator("#verify").click()
    page.page.wait_for_selector(".badge:text-is('equal'), .badge:text-is('different')")
    check("the same in" in page.text("section[aria-label='Source = topic = store']"), "verify now finds source, topic and store equal")


def alerts(page, base):
    """What the rules fired is listed, newest first, and leads to its symbol."""
    page.go("alerts")
    page.page.wait_for_selector("#alerts tbody tr")
    rows = fetch(base, "alerts?limit=500")["rows"]
    shown = page.page.locator("#alerts tbody tr").all_inner_texts()
    check(rows and len(shown) == len(rows) and rows[0]["message"] in shown[0], f"the page lists all {len(rows)} alerts")
    # A summary of many alerts has no symbol of its own.
    symbol = next(row["symbol"] for row in rows if row["symbol"] != "*")
    page.page.locator("#alerts tbody a[href^='#/market']").first.click()
    page.page.wait_for_selector(".legend span")
    check(page.page.title().startswith(symbol), "an alert leads to its symbol")


def adds_rule(page, base):
    """A rule that is added on the page is evaluated while records arrive, and can be removed."""
    page.go("alerts")
    page.page.locator("#name").fill("Ann")
    page.page.locator("#rule-name").fill("<b>small</b>")
    page.page.locator("#rule-kind").select_option("percent_move")
    page.page.locator("#rule-window").fill("60s")
    page.page.locator("#rule-threshold").fill("0.02")
    page.page.locator("#rule-symbols").fill("S*, !BAC")
    page.page.locator("#rule-cooldown").fill("30m")
    page.page.locator("#add-rule").click()
    row = page.page.locator("#rules tbody tr", has_text="<b>small</b>")
    row.wait_for()
    check("S*, !BAC" in row.inner_text() and "Ann" in row.inner_text(), "a rule is listed, its name as text")
    page.page.locator("#alerts tbody tr", has_text="<b>small</b>").first.wait_for()
    fired = [alert["symbol"] for alert in fetch(base, "alerts?limit=500&rule=%3Cb%3Esmall%3C/b%3E")["rows"]]
    check(set(fired) == {"SPY"}, "it fires for its symbols")
    row.get_by_role("button").click()
    row.wait_for(state="detached")
    check([rule["name"] for rule in fetch(base, "alerts/rules")["rows"]] == ["sudden-move", "volume"], "a rule can be removed")


def acknowledges(page, base, tapeline, config):
    """Acknowledge and silence, by keyboard and by mouse; the command line sees the same."""
    page.go("alerts")
    page.page.wait_for_selector("#alerts tbody tr")
    page.page.locator("#name").fill("Ann")
    first = page.page.locator("#alerts tbody tr").first
    first.get_by_role("button", name="Acknowledge").focus()
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#alerts tbody tr:first-child.acknowledged")
    check("Ann" in first.inner_text(), "an acknowledged alert shows by whom")
    page.wait("() => document.activeElement.closest('#alerts tbody tr') !== null")
    check(True, "the focus stays in the row")
    newest = fetch(base, "alerts?limit=1")["rows"][0]
    check(newest["acknowledged_by"] == "Ann", "the API shows the acknowledgement")
    history = subprocess.run([tapeline, "alert", "history", "--format", "json", "--config", str(config)], capture_output=True, text=True, check=True, cwd=config.parent).stdout
    known = {alert["key"]: alert.get("acknowledged", {}).get("by") for alert in json.loads(history)}
    check(known[newest["key"]] == "Ann" and list(known.values()).count("Ann") == 1, "so does tapeline alert history")
    page.page.reload()
    page.page.wait_for_selector("#alerts tbody tr.acknowledged")
    page.page.locator("#open").check()
    page.wait("() => document.querySelector('#alerts tbody tr.acknowledged') === null")
    check(page.page.locator("#name").input_value() == "Ann", "the name is remembered")
    page.page.locator("#open").uncheck()
    page.page.locator("#alerts tbody tr").first.get_by_role("button", name="Silence").click()
    page.page.locator("#silence-for").select_option("4h")
    page.page.locator("#silence-reason").fill("<b>maintenance</b>")
    page.page.locator("#silence").click()
    page.page.wait_for_selector("#silences tbody tr")
    check("<b>maintenance</b>" in page.text("#silences tbody tr"), "a silence is listed, its reason as text")
    listed = subprocess.run([tapeline, "alert", "silence", "--config", str(config)], capture_output=True, text=True, check=True, cwd=config.parent).stdout
    check(newest["rule"] in listed and "Ann" in listed, "tapeline alert silence lists it")
    page.page.locator("#silences tbody button").click()
    page.page.wait_for_selector("text=Nothing is silenced")
    check(fetch(base, "alerts/silences")["rows"] == [], "a silence can be ended")


def marked(page, base):
    """Alerts are markers on the chart, and are in the table behind it and in what the keyboard reads aloud."""
    # The table holds the last 100 bars: all of the session at five minutes.
    page.page.goto(f"{page.base}/#/market?symbol={SYMBOL}&interval=5m&session=regular")
    page.wait("name => document.querySelector('#chart')?.ariaLabel.startsWith(`${name}, 5m bars`)", SYMBOL)
    page.page.locator("summary", has_text="Bars as a table").click()
    page.page.wait_for_selector(".chart-foot table a.alert")
    rows = page.page.eval_on_selector_all(
        ".chart-foot table tbody tr",
        "rows => rows.map(row => [new URL(row.querySelector('a').href.replace('#/', '')).searchParams.get('time'), "
        "[...row.querySelectorAll('a.alert')].map(link => link.innerText)])")
    starts = sorted(start[:19] for start, _ in rows)
    wanted = [(max(start for start in starts if start <= alert["time"]), alert["message"])
              for alert in fetch(base, f"alerts?symbol={SYMBOL}&limit=500")["rows"]]
    found = [(start[:19], message) for start, messages in rows for message in messages]
    check(wanted and sorted(found) == sorted(wanted), f"{len(found)} alerts are at the bars in which they fired")
    page.page.locator("#chart").focus()
    page.page.keyboard.press("End")
    for _ in [start for start in starts if start > max(start for start, _ in found)]:
        page.page.keyboard.press("ArrowLeft")
    page.wait("() => /alert.* open: /.test(document.querySelector('#live').innerText)")
    check(True, "the keyboard reads a bar's alerts aloud")


def pictures(browser, base, out):
    """Every view at every size, light and dark, with axe."""
    axe = Axe()
    for scheme in ("light", "dark"):
        for size in SIZES:
            page = Page(browser, base, size, scheme)
            for view in VIEWS:
                page.go(view)
                ready = {"market": ".legend span", "explain": "#why-high", "proof": "section[aria-label='Dead letters'] .body, section[aria-label='Dead letters'] .notice", "pipeline": "section[aria-label='Lag by partition'] table", "alerts": "#alerts tbody tr", "forecasts": "#main .notice"}
                page.page.wait_for_selector(ready[view])
                page.page.wait_for_timeout(300)
                page.page.screenshot(path=out / f"{view}-{size}-{scheme}.png")
                check(page.page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), f"{view} fits a {size} screen")
                found = axe.run(page.page).response["violations"]
                check(not found, f"axe finds nothing in {view}, {size}, {scheme} {[(one['id'], one['nodes'][0]['target']) for one in found] or ''}")
            page.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tapeline", required=True)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--rate", default="5000")
    options = parser.parse_args()
    # Some commands run in the demo's folder.
    options.tapeline = str(Path(options.tapeline).resolve())
    folder = Path(tempfile.mkdtemp(prefix="tapeline-browser-"))
    out = options.out or folder / "pictures"
    out.mkdir(parents=True, exist_ok=True)
    files = folder / "demo"
    demo = Tapeline([options.tapeline, "demo", "--serve", "--listen", "127.0.0.1:0", "--dir", str(files), "--rate", options.rate])
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=FLAGS)
            page = Page(browser, demo.address)
            moves(page)
            adds_rule(page, demo.address)
            page.close()
            demo.until("still serving")
            page = Page(browser, demo.address)
            equals(page, demo.address, options.tapeline, files / "market.db")
            explains(page, demo.address)
            documented(page, demo.address)
            older(page)
            keyboard(page)
            verifies(page)
            alerts(page, demo.address)
            marked(page, demo.address)
            acknowledges(page, demo.address, options.tapeline, files / "tapeline.toml")
            gap_appears(page, files / "topic.db")
            restated(page, demo.address, files / "topic.db")
            page.close()
            pictures(browser, demo.address, out)
            browser.close()
    finally:
        if demo.process.poll() is None:
            demo.stop()
    print(f"dashboard: all checks passed; pictures in {out}")


if __name__ == "__main__":
    sys.exit(main())
