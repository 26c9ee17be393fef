"""Writes xnys.csv: every session of New York 1998-2026 and its closing time, by exchange_calendars (Apache-2.0)."""
import exchange_calendars as xc

calendar = xc.get_calendar("XNYS", start="1998-01-01", end="2026-12-31")
with open("xnys.csv", "w") as out:
    for day, close in calendar.schedule["close"].items():
        out.write(f"{day.date()},{close.tz_convert('America/New_York'):%H%M}\n")
