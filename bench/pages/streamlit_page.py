"""The chart of bench/page.py as a Streamlit page: candles, volume, and the last bars as a table."""

import os

import pandas
import plotly.graph_objects as go
import streamlit

streamlit.set_page_config(page_title="SPY", layout="wide")
bars = pandas.read_csv(os.environ["BENCH_BARS"], parse_dates=["start"]).tail(500)
figure = go.Figure([
    go.Candlestick(x=bars.start, open=bars.open, high=bars.high, low=bars.low, close=bars.close, name="SPY"),
    go.Bar(x=bars.start, y=bars.volume, yaxis="y2", opacity=0.35, name="volume"),
])
figure.update_layout(yaxis2={"overlaying": "y", "side": "right", "showgrid": False}, xaxis_rangeslider_visible=False, height=600)
streamlit.title("SPY")
streamlit.plotly_chart(figure, use_container_width=True)
streamlit.dataframe(bars.tail(60))
