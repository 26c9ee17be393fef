"""Writes indicators.csv: TA-Lib's values (0.6, BSD) on the real daily bars of SPY. usage: indicators.py DAILY_SPY_ZIP"""
import sys, zipfile
import numpy as np, talib

text = zipfile.ZipFile(sys.argv[1]).open(zipfile.ZipFile(sys.argv[1]).namelist()[0]).read().decode()
rows = [line.split(",") for line in text.splitlines()]
dates = [row[0][:8] for row in rows]
high, low, close = (np.array([int(row[i]) / 10_000 for row in rows]) for i in (2, 3, 4))
columns = [talib.SMA(close, 20), talib.EMA(close, 20), talib.RSI(close, 14), *talib.MACD(close, 12, 26, 9),
           *talib.BBANDS(close, 20, 2, 2), talib.ATR(high, low, close, 14)]
names = "sma20 ema20 rsi14 macd signal histogram upper middle lower atr14".split()
with open("indicators.csv", "w") as out:
    out.write(",".join(["date", "high", "low", "close", *names]) + "\n")
    for i, date in enumerate(dates):
        cells = ["" if np.isnan(column[i]) else repr(float(column[i])) for column in columns]
        out.write(",".join([date, repr(float(high[i])), repr(float(low[i])), repr(float(close[i])), *cells]) + "\n")
