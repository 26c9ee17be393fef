"""Writes alerts.csv: the alerts of the rules of alerts.toml and alerts_events.toml on recorded data, computed from the
definitions with pandas.

    python alerts.py TAPE QUOTES SENSORS     folders us-equities (2013-10-07 and 08), quotes and sensors of the data folder

Shares nothing with the engine: conditions, windows, averages and the pace of alerts are worked out here on whole columns
or by plain loops over them. Columns of the result: run, rule, symbol, ms since 1970, kind, value, threshold. Run `one` is
2013-10-08 alone with the daily bars of the day before given (lines `daily`), `both` is both days as one stream.

The tape holds no halts and nothing of a pipeline, so two runs derive them from it, of one day or both: in `halts-…` AIG is
halted wherever it does not trade for `HALTED` in the regular session, and each halt is reported twice; in `lag-…` a stage
is as far behind as SPY's last trade is old when the next one comes. Run `sensors` is two recorded sensors.
"""
import csv
import io
import pathlib
import sys
import tomllib
import zipfile

import numpy as np
import pandas as pd

HERE = pathlib.Path(__file__).parent
POLICY = HERE / "../../policy"
SYMBOLS = ["SPY", "BAC", "IBM", "AIG"]
UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000}
OUTLIER, CONFIRM = 0.5, 3
HALTED = 20_000


def ms(text):
    return int(text[:-1]) * UNITS[text[-1]]


def conditions():
    """From a bit of the mask to its code, and from a code to what it updates: (regular, extended, day)."""
    bits = {}
    lines = [line for line in open(POLICY / "conditions.csv") if not line.startswith("#")]
    for row in csv.DictReader(lines):
        for bit in row["lean"].split():
            bits[int(bit, 16)] = row["code"]
    table = tomllib.loads((POLICY / "sip.toml").read_text())
    effects = {}
    for rule in table["rule"]:
        assert "unless" not in rule
        normal = set(rule["updates"])
        for code in rule["codes"]:
            effects[code] = (normal, set(rule.get("extended", normal)), normal)
    return bits, effects, set(table["unknown"])


def uses(mask, suspicious, regular, known={}):
    """(price, extreme, close, volume) of a print."""
    key = (mask, suspicious, regular)
    if key not in known:
        bits, effects, unknown = CONDITIONS
        codes = [bits.get(1 << n) for n in range(32) if int(mask, 16) >> n & 1]
        if suspicious:
            codes.append("suspicious")
        sets = [effects.get(code, (unknown,) * 3) for code in codes]
        whole = {"high_low", "last", "volume"}
        pick = (0, 0) if regular else (1, 2)
        bars = whole.intersection(*[s[pick[0]] for s in sets])
        day = whole.intersection(*[s[pick[1]] for s in sets])
        price = "last" in bars
        known[key] = (price, price and "high_low" in day, price and "last" in day, "volume" in bars)
    return known[key]


CONDITIONS = conditions()


def load(folder, symbol, date):
    name = folder / "tick" / symbol.lower() / f"{date}_trade.zip"
    with zipfile.ZipFile(name) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    frame = pd.read_csv(io.StringIO(text), header=None, dtype={4: str},
                        names=["local", "price", "size", "venue", "mask", "suspicious"])
    midnight = pd.Timestamp(date, tz="America/New_York")
    frame["ms"] = frame.local + int(midnight.timestamp() * 1000)
    frame["open"] = int((midnight + pd.Timedelta(hours=9.5)).timestamp() * 1000)
    frame["shut"] = int((midnight + pd.Timedelta(hours=16)).timestamp() * 1000)
    frame["regular"] = (frame.ms >= frame.open) & (frame.ms < frame.shut)
    frame["date"] = int(date)
    frame["price"] = frame.price / 10_000
    used = [uses(*row) for row in zip(frame["mask"], frame.suspicious, frame.regular)]
    frame[["is_price", "is_extreme", "is_close", "is_volume"]] = used
    return frame


def believed(frame):
    """Drops outliers that three prints in a row do not confirm."""
    last = outlier = None
    count = 0
    good = frame.is_price.to_numpy().copy()
    near = lambda a, b: abs((a / b - 1) * 100) <= OUTLIER
    for i, price in enumerate(frame.price.to_numpy()):
        if not good[i]:
            continue
        if last is not None and not near(price, last):
            count = count + 1 if count and near(price, outlier) else 1
            outlier = price
            if count < CONFIRM:
                good[i] = False
                continue
        last, count = price, 0
    frame["good"] = good
    frame["is_extreme"] &= good
    frame["is_close"] &= good
    return frame


def pace(times, met, released, rule, crossing=False, days=None):
    """Positions that fire. `days`: once in each, whatever the value does."""
    cooldown = ms(rule["cooldown"]) if "cooldown" in rule else 0
    bar = ms(rule["once_per"]) if "once_per" in rule else 0
    armed, first, fired, out, today = True, True, None, [], None
    for i, t in enumerate(times):
        if days is not None and days[i] != today:
            armed, today = True, days[i]
        if first:
            first = False
            if crossing and met[i]:
                armed = False
        if not armed:
            armed = bool(released[i])
        elif met[i] and not (fired is not None and (t - fired < cooldown or (bar and t // bar == fired // bar))):
            out.append(i)
            armed, fired = False, t
    return out


def sides(rule):
    return {"up": [1], "down": [-1]}.get(rule.get("direction"), [1, -1])


def part(frame, rule):
    session = rule.get("session")
    return frame[frame.regular] if session == "regular" else frame


def percent(price, reference, side):
    return (price / reference - 1) * 100 if side > 0 else (1 - price / reference) * 100


def percent_move(frame, rule, emit):
    prices = frame[frame.good]
    series = pd.Series(prices.price.to_numpy(), index=pd.to_datetime(prices.ms, unit="ms"))
    rolling = series.rolling(pd.Timedelta(milliseconds=ms(rule["window"])), closed="right")
    for side in sides(rule):
        reference = (rolling.min() if side > 0 else rolling.max()).to_numpy()
        value = percent(prices.price.to_numpy(), reference, side)
        keep = prices.regular.to_numpy() if rule.get("session") == "regular" else np.ones(len(prices), bool)
        value, times = value[keep], prices.ms.to_numpy()[keep]
        limit = rule["threshold"]
        for i in pace(times, value >= limit, value < limit - rule.get("hysteresis", 0), rule):
            emit(times[i], "spike" if side > 0 else "drop", side * value[i], limit)


def averages(prices, rule):
    """The moving average at each print: of the closes of the bars before its own."""
    word, n = rule["indicator"].split(":")
    n, interval = int(n), ms(rule["interval"])
    bars = prices.ms.to_numpy() // interval
    closes, levels, level, seen = [], [], None, None
    last = None
    for bar, price in zip(bars, prices.price.to_numpy()):
        if seen is not None and bar != seen:
            closes.append(last)
            if len(closes) >= n:
                if word == "sma":
                    level = sum(closes[-n:]) / n
                elif len(closes) == n:
                    level = sum(closes) / n
                else:
                    level = level + (last - level) * (2 / (n + 1))
        seen, last = bar, price
        levels.append(np.nan if level is None else level)
    return np.array(levels)


def cross(frame, rule, emit):
    prices = frame[frame.good]
    level = averages(prices, rule) if "indicator" in rule else np.full(len(prices), float(rule["level"]))
    keep = ~np.isnan(level)
    if rule.get("session") == "regular":
        keep &= prices.regular.to_numpy()
    price, times, level = prices.price.to_numpy()[keep], prices.ms.to_numpy()[keep], level[keep]
    for side in sides(rule):
        # A level is reached; an average is passed: a price that stands on it is still on the other side.
        limit = np.nextafter(side * level, np.inf) if "indicator" in rule else side * level
        met = side * price >= limit
        released = side * price < limit - rule.get("hysteresis", 0)
        for i in pace(times, met, released, rule, crossing=True):
            emit(times[i], "cross_up" if side > 0 else "cross_down", price[i], level[i])


def volume_surge(frame, rule, emit):
    window, baseline = ms(rule["window"]), ms(rule["baseline"])
    times = frame.ms.to_numpy()
    total = np.concatenate([[0], np.cumsum(np.where(frame.is_volume, frame["size"], 0))])
    before = np.searchsorted(times, times - window, side="right")
    earliest = np.searchsorted(times, times - window - baseline, side="right")
    recent = total[1:] - total[before]
    usual = (total[before] - total[earliest]) * (window / baseline)
    started = frame.groupby("date").ms.transform("min").to_numpy()
    keep = frame.is_volume.to_numpy() & (started <= times - window - baseline) & (usual > 0)
    value, times = recent[keep] / usual[keep], times[keep]
    limit = rule["threshold"]
    for i in pace(times, value >= limit, value < limit - rule.get("hysteresis", 0), rule):
        emit(times[i], "volume_surge", value[i], limit)


def vwap_deviation(frame, rule, emit):
    regular = rule.get("session") == "regular"
    counts = frame.is_volume & (frame.regular if regular else True)
    size = np.where(counts, frame["size"], 0.0)
    notional = pd.Series(frame.price.to_numpy() * size).groupby(frame.date.to_numpy()).cumsum().to_numpy()
    volume = pd.Series(size).groupby(frame.date.to_numpy()).cumsum().to_numpy()
    keep = frame.good.to_numpy() & (volume > 0)
    if regular:
        keep &= frame.regular.to_numpy()
    price, times = frame.price.to_numpy()[keep], frame.ms.to_numpy()[keep]
    vwap = notional[keep] / volume[keep]
    limit = rule["threshold"]
    for side in sides(rule):
        value = percent(price, vwap, side)
        for i in pace(times, value >= limit, value < limit - rule.get("hysteresis", 0), rule):
            emit(times[i], "above_vwap" if side > 0 else "below_vwap", side * value[i], limit)


def day_ranges(frame):
    out = []
    for date, day in frame.groupby("date"):
        extremes = day[day.is_extreme].price
        out.append((date, extremes.max(), extremes.min(), day[day.is_close].price.iloc[-1]))
    return out


def new_extreme(frame, rule, emit, history):
    known = {date: values for date, *values in history + day_ranges(frame)}
    dates = sorted(known)
    for side in sides(rule):
        for date, day in frame[frame.is_extreme].groupby("date"):
            before = dates[max(dates.index(date) - rule["days"], 0):dates.index(date)]
            if len(before) < rule["days"]:
                continue
            limit = max(known[d][0] for d in before) if side > 0 else min(known[d][1] for d in before)
            beyond = day[side * day.price > side * limit]
            if len(beyond):
                emit(beyond.ms.iloc[0], "new_high" if side > 0 else "new_low", beyond.price.iloc[0], limit)


def open_gap(frame, rule, emit, history):
    closes = {date: values[-1] for date, *values in history + day_ranges(frame)}
    for date, day in frame[frame.is_close & frame.regular].groupby("date"):
        before = [d for d in closes if d < date]
        if not before:
            continue
        for side in sides(rule):
            value = percent(day.price.iloc[0], closes[max(before)], side)
            if value >= rule["threshold"]:
                emit(day.ms.iloc[0], "gap_up" if side > 0 else "gap_down", side * value, rule["threshold"])


def stall(frame, rule, emit):
    window = ms(rule["window"])
    for _, day in frame.groupby("date"):
        times, start, end = day.ms.to_numpy(), day.open.iloc[0], day.shut.iloc[0]
        for this, after in zip(times, list(times[1:]) + [end + window]):
            due = max(this, start) + window
            if due < end and after >= due:
                emit(due, "stall", window / 1000, window / 1000)


def spread(folder, rule, emit):
    with zipfile.ZipFile(folder / "tick/ibm/20131008_quote.zip") as archive:
        text = archive.read(archive.namelist()[0]).decode()
    frame = pd.read_csv(io.StringIO(text), header=None).iloc[:, :5]
    frame.columns = ["local", "bid", "bid_size", "ask", "ask_size"]
    midnight = pd.Timestamp("20131008", tz="America/New_York")
    frame["ms"] = frame.local + int(midnight.timestamp() * 1000)
    regular = (frame.local >= 34_200_000) & (frame.local < 57_600_000)
    # A row of zeros says nothing of that side: it stays as it was.
    for side in ("bid", "ask"):
        told = (frame[side] != 0) | (frame[f"{side}_size"] != 0)
        frame[side] = frame[side].where(told).ffill()
    frame = frame[regular & (frame.bid > 0) & (frame.ask >= frame.bid)]
    bid, ask = frame.bid / 10_000, frame.ask / 10_000
    value = ((ask - bid) / ((bid + ask) / 2) * 10_000).to_numpy()
    times, limit = frame.ms.to_numpy(), rule["threshold"]
    for i in pace(times, value >= limit, value < limit - rule["hysteresis"], rule):
        emit(times[i], "spread", value[i], limit)


def readings(folder, rules, lines):
    for name in ("machine_temperature", "speed_7578"):
        frame = pd.read_csv(folder / f"{name}.csv")
        times = pd.to_datetime(frame.timestamp)
        # A clock that was set back: what is older than its predecessor is not evaluated.
        keep = times >= times.cummax()
        frame, times = frame[keep.to_numpy()], times[keep]
        series = pd.Series(frame.value.to_numpy(float), index=pd.DatetimeIndex(times))
        unix, value = times.astype("int64").to_numpy() // 1_000_000, series.to_numpy()
        for rule in rules:
            if not takes(rule, name):
                continue

            def emit(time, kind, value, threshold):
                lines.append(f"sensors,{rule['name']},{name},{time},{kind},{value:.6f},{threshold:.6f}")

            limit, hysteresis = rule.get("threshold"), rule.get("hysteresis", 0)
            if rule["kind"] == "silence":
                window = ms(rule["window"])
                for this, after in zip(unix, unix[1:]):
                    if after - this >= window:
                        emit(this + window, "silence", window / 1000, window / 1000)
            for side in sides(rule):
                if rule["kind"] == "threshold":
                    at = pace(unix, side * value >= side * limit, side * value < side * limit - hysteresis, rule)
                    for i in at:
                        emit(unix[i], "above" if side > 0 else "below", value[i], limit)
                if rule["kind"] == "rate_of_change":
                    rolling = series.rolling(pd.Timedelta(milliseconds=ms(rule["window"])), closed="right")
                    change = side * (value - (rolling.min() if side > 0 else rolling.max()).to_numpy())
                    for i in pace(unix, change >= limit, change < limit - hysteresis, rule):
                        emit(unix[i], "rise" if side > 0 else "fall", side * change[i], side * limit)


def halts(frame, rules, emit):
    """Halts, and the stalls that are left: those before a halt, and where it trades seldom."""
    for _, day in frame.groupby("date"):
        times, regular = day.ms.to_numpy(), day.regular.to_numpy()
        start, end = day.open.iloc[0], day.shut.iloc[0]
        for rule in rules:
            window = ms(rule["window"]) if "window" in rule else None
            for i, this in enumerate(times):
                after = times[i + 1] if i + 1 < len(times) else end + 86_400_000
                halted = i + 1 < len(times) and regular[i] and regular[i + 1] and after - this >= HALTED
                if rule["kind"] == "halt" and halted and takes(rule, "AIG"):
                    emit(rule, this, "halt", 0, 0)
                    if rule.get("on") != "halt":
                        emit(rule, after, "resume", 0, 0)
                if rule["kind"] == "stall" and not halted:
                    due = max(this, start) + window
                    if due < end and after >= due:
                        emit(rule, due, "stall", window / 1000, window / 1000)


def lag(frame, rules, emit):
    times = frame.ms.to_numpy()
    behind = np.diff(times) / 1000
    for rule in rules:
        if rule["kind"] == "pipeline_lag":
            limit = rule["threshold"]
            for i in pace(times[1:], behind >= limit, behind < limit - rule["hysteresis"], rule):
                emit(rule, times[1:][i], "pipeline_lag", behind[i], limit)


def takes(rule, symbol):
    included = not [p for p in rule.get("symbols", []) if not p.startswith("!")]
    for pattern in rule.get("symbols", []):
        name = pattern.lstrip("!")
        if name == "*" or name == symbol or (name.endswith("*") and symbol.startswith(name[:-1])):
            if pattern.startswith("!"):
                return False
            included = True
    return included


KINDS = {"percent_move": percent_move, "cross": cross, "volume_surge": volume_surge, "stall": stall,
         "vwap_deviation": vwap_deviation, "new_extreme": new_extreme, "open_gap": open_gap}


def main(tape, quotes, sensors):
    rules = tomllib.loads((HERE / "alerts.toml").read_text())["rules"]
    lines = []
    for symbol in SYMBOLS:
        days = {date: load(tape, symbol, date) for date in ("20131007", "20131008")}
        for run in ("one", "both"):
            if run == "one":
                history = day_ranges(believed(days["20131007"].copy()))
                frame = believed(days["20131008"].copy())
                for date, high, low, close in history:
                    lines.append(f"daily,,{symbol},{date},{high},{low},{close}")
            else:
                history, frame = [], believed(pd.concat(days.values(), ignore_index=True))
            assert (frame.ms.diff().dropna() >= 0).all(), "the tape is not in order of time"
            for rule in rules:
                if rule["kind"] == "spread" or not takes(rule, symbol):
                    continue

                def emit(time, kind, value, threshold):
                    lines.append(f"{run},{rule['name']},{symbol},{time},{kind},{value:.6f},{threshold:.6f}")

                extra = [history] if rule["kind"] in ("new_extreme", "open_gap") else []
                KINDS[rule["kind"]](frame, rule, emit, *extra)
    for rule in rules:
        if rule["kind"] == "spread":
            spread(quotes, rule, lambda time, kind, value, threshold: lines.append(
                f"quotes,{rule['name']},IBM,{time},{kind},{value:.6f},{threshold:.6f}"))
    events = tomllib.loads((HERE / "alerts_events.toml").read_text())["rules"]
    readings(sensors, events, lines)
    for symbol, run, find in (("AIG", "halts", halts), ("SPY", "lag", lag)):
        days = [load(tape, symbol, date) for date in ("20131007", "20131008")]
        for name, frame in (("one", days[1]), ("both", pd.concat(days, ignore_index=True))):

            def emit(rule, time, kind, value, threshold):
                lines.append(f"{run}-{name},{rule['name']},{symbol},{time},{kind},{value:.6f},{threshold:.6f}")

            find(frame, events, emit)
    lines.sort()
    (HERE / "alerts.csv").write_text("\n".join(lines) + "\n")
    counts = pd.Series([",".join(line.split(",")[:2]) for line in lines]).value_counts().sort_index()
    print(counts.to_string())


main(*map(pathlib.Path, sys.argv[1:]))
