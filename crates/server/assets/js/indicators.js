// Indicators of the bars on the page. Doubles, for drawing only.

function sma(values, n) {
  const out = new Array(values.length).fill(null);
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i] - (i >= n ? values[i - n] : 0);
    if (i >= n - 1) out[i] = sum / n;
  }
  return out;
}

/** Exponential average that starts with the simple one of the first n values. */
function ema(values, n) {
  const out = new Array(values.length).fill(null);
  const weight = 2 / (n + 1);
  let sum = 0;
  let last = null;
  for (let i = 0; i < values.length; i++) {
    if (i < n) sum += values[i];
    if (i === n - 1) last = sum / n;
    else if (i >= n) last += weight * (values[i] - last);
    out[i] = last;
  }
  return out;
}

function bollinger(values, n, width) {
  const middle = sma(values, n);
  const bands = [new Array(values.length).fill(null), middle, new Array(values.length).fill(null)];
  for (let i = n - 1; i < values.length; i++) {
    let squares = 0;
    for (let j = i - n + 1; j <= i; j++) squares += (values[j] - middle[i]) ** 2;
    const distance = width * Math.sqrt(squares / n);
    bands[0][i] = middle[i] + distance;
    bands[2][i] = middle[i] - distance;
  }
  return bands;
}

/** Wilder's relative strength index. */
function rsi(values, n) {
  const out = new Array(values.length).fill(null);
  let [gain, loss] = [0, 0];
  for (let i = 1; i < values.length; i++) {
    const change = values[i] - values[i - 1];
    const [up, down] = [Math.max(change, 0), Math.max(-change, 0)];
    if (i <= n) {
      gain += up / n;
      loss += down / n;
    } else {
      gain = (gain * (n - 1) + up) / n;
      loss = (loss * (n - 1) + down) / n;
    }
    if (i >= n) out[i] = gain + loss === 0 ? 50 : (100 * gain) / (gain + loss);
  }
  return out;
}

/** Volume-weighted average price since the start of each day on the exchange's clock. */
function vwap(bars) {
  let [day, notional, volume] = [null, 0, 0];
  return bars.map((bar) => {
    const today = Math.floor(bar.time / 86400);
    if (today !== day) [day, notional, volume] = [today, 0, 0];
    notional += (bar.vwap ?? bar.close) * bar.volume;
    volume += bar.volume;
    return volume > 0 ? notional / volume : null;
  });
}

/** Name, pane (0 price, 1 below) and lines of each indicator. */
export const indicators = {
  vwap: { title: "VWAP (session)", pane: 0, lines: ["--line-vwap"], of: (bars) => [vwap(bars)] },
  sma20: { title: "SMA 20", pane: 0, lines: ["--line-a"], of: (bars) => [sma(bars.map((bar) => bar.close), 20)] },
  ema20: { title: "EMA 20", pane: 0, lines: ["--line-b"], of: (bars) => [ema(bars.map((bar) => bar.close), 20)] },
  ema50: { title: "EMA 50", pane: 0, lines: ["--line-c"], of: (bars) => [ema(bars.map((bar) => bar.close), 50)] },
  bollinger: { title: "Bollinger 20, 2", pane: 0, lines: ["--line-d", "--line-d", "--line-d"], of: (bars) => bollinger(bars.map((bar) => bar.close), 20, 2) },
  rsi14: { title: "RSI 14", pane: 1, lines: ["--line-a"], of: (bars) => [rsi(bars.map((bar) => bar.close), 14)] },
};
