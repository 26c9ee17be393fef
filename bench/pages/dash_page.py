"""The chart of bench/page.py as a Dash page: candles, volume, and the last bars as a table."""

import os

import dash
import pandas
import plotly.graph_objects as go

bars = pandas.read_csv(os.environ["BENCH_BARS"], parse_dates=["start"]).tail(500)
figure = go.Figure([
    go.Candlestick(x=bars.start, open=bars.open, high=bars.high, low=bars.low, close=bars.close, name="SPY"),
    go.Bar(x=bars.start, y=bars.volume, yaxis="y2", opacity=0.35, name="volume"),
])
figure.update_layout(yaxis2={"overlaying": "y", "side": "right", "showgrid": False}, xaxis_rangeslider_visible=False, height=600)
rows = bars.tail(60).astype(str)
head = dash.html.Thead(dash.html.Tr([dash.html.Th(name) for name in rows.columns]))
body = dash.html.Tbody([dash.html.Tr([dash.html.Td(cell) for cell in row]) for row in rows.values])
app = dash.Dash(__name__, title="SPY")
app.layout = dash.html.Div([dash.html.H1("SPY"), dash.dcc.Graph(figure=figure), dash.html.Table([head, body])])

if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), debug=False)
