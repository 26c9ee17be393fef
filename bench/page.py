"""Page weight and time to the first chart, next to a Streamlit and a Dash page over the same bars.

    python -m venv target/bench-page && target/bench-page/bin/pip install streamlit dash playwright
    target/bench-page/bin/python bench/page.py [--tapeline target/release/tapeline] [--chromium /usr/bin/chromium] [--rounds 7]

The bars of SPY of the demo's day, minute by minute: the last 500 as candles with volume, and a table. Ours is the Market view, which
has a watchlist, a live stream and the tape as well. Each visit is cold: a new browser profile without a cache. The servers are
warm: each is visited once before. The pages are visited in turn, and all run on this machine throughout.

- weight: bytes received over the network until the chart is drawn and nothing has arrived for half a second, headers included; of
  websockets their messages.
- first chart: from navigation until candles are painted: pixels of our canvas have a candle's colour; the others' SVG has boxes.
"""

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
#: Whether candles are painted; checked before each animation frame.
PLOTLY = "document.querySelectorAll('.js-plotly-plot .boxlayer path.box').length > 100"
OURS = """(() => {
  const rgb = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi)?.map((part) => parseInt(part, 16));
  const wanted = rgb('--up');
  return wanted && [...document.querySelectorAll('#chart canvas')].some((canvas) => {
    if (!canvas.width || !canvas.height) return false;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) if (data[at] === wanted[0] && data[at + 1] === wanted[1] && data[at + 2] === wanted[2]) return true;
    return false;
  });
})()"""
WATCH = """(() => { const check = () => { let drawn = false; try { drawn = %s; } catch {}
  if (drawn) window.__chart = performance.now(); else requestAnimationFrame(check); };
  requestAnimationFrame(check); })()"""


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait(url, process):
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{url} did not start")


def prepare(options, folder):
    """A store with the demo's day, and its bars of a minute as CSV."""
    source = f"tape:{options.tape}?kinds=trades&symbols=SPY&dates=20131008"
    files = options.demo or folder
    urls = ["--topic", f"sqlite:{files / 'topic.db'}", "--store", f"sqlite:{files / 'market.db'}"]
    if not options.demo:
        subprocess.run([options.tapeline, "run", "--source", source, *urls], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    bars = folder / "bars.csv"
    subprocess.run([options.tapeline, "query", "bars", "SPY", "--interval", "1m", "--out", str(bars), *urls], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return urls, bars


def visit(browser, url, drawn):
    """Bytes, requests and milliseconds of a cold visit."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    bytes_of, seen = {}, {"requests": 0, "at": time.monotonic()}

    def arrived(request, count, total=False):
        bytes_of[request] = count if total else bytes_of.get(request, 0) + count
        seen["at"] = time.monotonic()

    # A stream stays open, so its bytes are counted as they arrive; of the others the end gives the exact number.
    session.on("Network.responseReceived", lambda event: arrived(event["requestId"], int(event["response"]["encodedDataLength"])))
    session.on("Network.dataReceived", lambda event: arrived(event["requestId"], event["encodedDataLength"]))
    session.on("Network.loadingFinished", lambda event: arrived(event["requestId"], int(event["encodedDataLength"]), total=True))
    session.on("Network.requestWillBeSent", lambda event: seen.update(requests=seen["requests"] + 1))
    session.on("Network.webSocketFrameReceived", lambda event: arrived(event["requestId"], len(event["response"]["payloadData"])))
    page.add_init_script(WATCH % drawn)
    page.goto(url, wait_until="commit")
    page.wait_for_function("() => window.__chart > 0", timeout=120_000)
    millis = page.evaluate("window.__chart")
    quiet = time.monotonic()
    # Our stream sends a state each second; half a second without bytes may not come.
    while time.monotonic() - seen["at"] < 0.5 and time.monotonic() - quiet < 3:
        page.wait_for_timeout(100)
    context.close()
    return sum(bytes_of.values()), seen["requests"], millis


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tapeline", default="target/release/tapeline")
    parser.add_argument("--tape", default="data/us-equities")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--demo", type=Path, help="a folder left by `tapeline demo`, instead of recording the day")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tapeline-page-"))
    urls, bars = prepare(options, folder)
    ports = {name: port() for name in ("Streamlit", "Dash")}
    env = {**os.environ, "BENCH_BARS": str(bars), "BENCH_PORT": str(ports["Dash"]), "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false"}
    ours = subprocess.Popen([options.tapeline, "serve", "--listen", "127.0.0.1:0", *urls], stdout=subprocess.PIPE, text=True)
    address = next(found.group(1) for line in ours.stdout if (found := re.search(r"dashboard: (http://[^/\s]+)", line)))
    quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    servers = [ours, subprocess.Popen([sys.executable, "-m", "streamlit", "run", HERE / "pages/streamlit_page.py", "--server.headless", "true",
                                       "--server.address", "127.0.0.1", "--server.port", str(ports["Streamlit"])], **quiet),
               subprocess.Popen([sys.executable, HERE / "pages/dash_page.py"], **quiet)]
    pages = {"Tapeline": (f"{address}/#/market?symbol=SPY&interval=1m", OURS), "Streamlit": (f"http://127.0.0.1:{ports['Streamlit']}/", PLOTLY),
             "Dash": (f"http://127.0.0.1:{ports['Dash']}/", PLOTLY)}
    results = {name: [] for name in pages}
    try:
        for (url, _), server in zip(pages.values(), servers):
            wait(url, server)
        with sync_playwright() as playwright:
            for round in range(options.rounds + 1):
                for name, (url, drawn) in pages.items():
                    browser = playwright.chromium.launch(executable_path=options.chromium, args=FLAGS)
                    found = visit(browser, url, drawn)
                    browser.close()
                    # The first visit warms up the server.
                    if round:
                        results[name].append(found)
    finally:
        for server in servers:
            server.terminate()
            server.wait(timeout=30)
        shutil.rmtree(folder)
    middle = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in results.items()}
    print(f"{'page':<10} {'KiB':>8} {'requests':>9} {'first chart, ms':>16}   median of {options.rounds} cold visits")
    for name, (weight, requests, millis) in middle.items():
        spread = sorted(row[2] for row in results[name])
        print(f"{name:<10} {weight / 1024:>8,.0f} {requests:>9,.0f} {millis:>16,.0f}   {spread[0]:,.0f} .. {spread[-1]:,.0f}")
    for name in ("Streamlit", "Dash"):
        print(f"Tapeline / {name}: weight {middle['Tapeline'][0] / middle[name][0]:.2f}, first chart {middle['Tapeline'][2] / middle[name][2]:.2f}")


if __name__ == "__main__":
    main()
