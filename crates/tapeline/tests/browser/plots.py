"""Opens the pages of `tapeline plot --out FILE.html` in Chromium, without a network: what they show, and what they load.

    target/python-browser/bin/python crates/tapeline/tests/browser/plots.py --tapeline target/release/tapeline [--chromium PATH] [--out DIR]
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[4]


def pages(program: Path, folder: Path) -> dict[str, Path]:
    """A recorded day as a page of each kind."""
    places = ["--topic", f"sqlite:{folder}/t.db", "--store", f"sqlite:{folder}/s.db"]
    tape = f"tape:{ROOT}/data/us-equities?kinds=trades"
    subprocess.run([program, "run", "--quiet", "--symbols", "AIG,IBM", "--source", tape, *places], check=True)
    made = {}
    for name, flags in (
        ("candles", ["AIG", "--interval", "5m", "--indicator", "sma:20,rsi:14"]),
        ("side", ["AIG,IBM", "--interval", "5m"]),
        ("seconds", ["AIG", "--interval", "1s"]),
        ("returns", ["AIG", "--kind", "returns"]),
        ("correlation", ["AIG,IBM", "--kind", "correlation"]),
    ):
        made[name] = folder / f"{name}.html"
        subprocess.run([program, "plot", *flags, "--out", made[name], *places[2:]], check=True, stdout=subprocess.DEVNULL)
    return made


def opened(browser: Browser, path: Path) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 760}, offline=True).new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelector('.values b, .hover') !== null")
    assert not faults, faults
    return page


def point(page: Page, share: float) -> str:
    """The values at a place of the chart."""
    box = page.locator(".chart").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.4)
    page.wait_for_timeout(200)
    return page.locator(".values").first.inner_text()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tapeline", type=Path, required=True)
    arguments.add_argument("--chromium", default="/usr/bin/chromium")
    arguments.add_argument("--out", type=Path, default=Path("target/dashboard"))
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        made = pages(options.tapeline.resolve(), Path(name))
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=options.chromium, args=flags)
        shown = {kind: opened(browser, path) for kind, path in made.items()}
        candles = shown["candles"]
        assert candles.title() == "AIG 5m lean.sip, 2013-10-08, America/New_York", candles.title()
        # The last bar, until something is pointed at.
        last = candles.locator(".values").first.inner_text()
        assert last.startswith("2013-10-08 15:55"), last
        first = point(candles, 0.2)
        assert first != last and all(word in first for word in ("2013-10-08 ", "open 4", "close 4", "volume ")), first
        assert all(word in point(candles, 0.8) for word in ("sma:20 4", "rsi:14 ")), point(candles, 0.8)
        # The wheel zooms: another bar is at the same place.
        candles.mouse.wheel(0, -800)
        candles.wait_for_timeout(300)
        assert point(candles, 0.2) not in (first, last), first
        assert shown["side"].locator(".chart").count() == 2
        seconds = point(shown["seconds"], 0.5)
        assert seconds[:19].count(":") == 2, seconds
        returns = shown["returns"].locator("rect.hover title").all_text_contents()
        assert len(returns) > 10 and all(text.endswith("returns") for text in returns), returns[:3]
        cells = shown["correlation"].locator("rect.hover title").all_text_contents()
        assert len(cells) == 4 and cells[0].startswith("AIG and AIG: 1.0000, n = "), cells
        for kind, page in shown.items():
            page.screenshot(path=options.out / f"plot-{kind}.png")
        browser.close()
    print(f"{len(made)} pages of plots, screenshots in {options.out}")


if __name__ == "__main__":
    main()
