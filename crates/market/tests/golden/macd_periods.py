"""Writes macd_periods.csv: TA-Lib's MACD (0.8, BSD) for several periods, the fast one longer than the slow one among them,
on the first 250 real daily closes of indicators.csv. usage: macd_periods.py"""
import csv
import numpy as np, talib

rows = list(csv.DictReader(open("indicators.csv")))[:250]
close = np.array([float(row["close"]) for row in rows])
periods = [(26, 12, 9), (30, 5, 3), (5, 35, 5), (12, 12, 9), (3, 2, 1)]
with open("macd_periods.csv", "w") as out:
    out.write("fast,slow,signal,day,close,macd,signal line,histogram\n")
    for fast, slow, signal in periods:
        columns = talib.MACD(close, fast, slow, signal)
        for day in range(len(close)):
            cells = ["" if np.isnan(column[day]) else repr(float(column[day])) for column in columns]
            out.write(",".join([str(fast), str(slow), str(signal), str(day), repr(float(close[day])), *cells]) + "\n")
