"""Computes the golden values of golden.json with independent libraries.

    python3 -m venv VENV && VENV/bin/pip install scikit-learn==1.9.1 arch==8.0.0 statsforecast==2.1.1 torch==2.15.0
    VENV/bin/python generate.py > golden.json

The inputs are made by the formulas in `series`, which tests/oracle/main.rs repeats: no input is stored.
"""
import json
import warnings

import numpy as np

warnings.filterwarnings("ignore")


def uniforms(count, seed):
    """Multiply-with-carry numbers in [0, 1), exact in both languages."""
    state, out = seed, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append((state >> 33) / 2**31)
    return np.array(out)


def returns(count):
    """Returns with volatility clustering: a GARCH recursion driven by sums of uniforms."""
    draws = uniforms(12 * count, 42).reshape(count, 12).sum(axis=1) - 6.0
    variance, out = 1e-4, []
    for draw in draws:
        value = 0.0003 + np.sqrt(variance) * draw
        variance = 2e-6 + 0.08 * (value - 0.0003) ** 2 + 0.9 * variance
        out.append(value)
    return np.array(out)


def ridge():
    from sklearn.linear_model import LinearRegression, Ridge

    x = uniforms(200 * 6, 7).reshape(200, 6) * 4 - 2
    y = x @ np.array([0.5, -1.0, 0.0, 2.0, 0.25, 3.0]) + uniforms(200, 8) + 0.7
    out = {}
    for penalty in [0.0, 0.1, 10.0, 1000.0]:
        model = LinearRegression() if penalty == 0 else Ridge(alpha=penalty, solver="svd")
        model.fit(x, y)
        out[str(penalty)] = [model.intercept_, *model.coef_]
    return out


def garch():
    from arch import arch_model

    values = returns(2000)
    fit = arch_model(values * 100, mean="Constant", vol="GARCH", p=1, q=1, dist="normal").fit(
        disp="off", options={"ftol": 1e-12, "maxiter": 2000}
    )
    mean, omega, alpha, beta = fit.params
    ahead = fit.forecast(horizon=5, reindex=False).variance.values[0]
    return {
        "mean": mean / 100,
        "omega": omega / 1e4,
        "alpha": alpha,
        "beta": beta,
        "log_likelihood": fit.loglikelihood + len(values) * np.log(100),
        "variance_5": float(ahead.sum()) / 1e4,
    }


def har():
    from arch.univariate import HARX

    fit = HARX(returns(2000) ** 2 * 1e4, lags=[1, 5, 22]).fit(disp="off")
    return list(fit.params[:4])


def ets():
    from statsforecast.models import AutoETS, SimpleExponentialSmoothing

    fixed = SimpleExponentialSmoothing(alpha=0.2).fit(np.log(returns(500) ** 2 + 1e-8)).predict(1)["mean"][0]
    out = {"fixed": float(fixed)}
    for count, width in [(500, 1), (2000, 1), (2000, 2)]:
        squares = np.lib.stride_tricks.sliding_window_view(returns(count) ** 2 + 1e-8, width)
        values = np.log(squares.mean(axis=1))
        model = AutoETS(season_length=1, model="ANN").fit(values)
        found = model.predict(22, level=[90])
        out[f"{count}_{width}"] = {
            "alpha": float(model.model_["par"][0]),
            "log_likelihood": float(model.model_["loglik"]),
            "mean": float(found["mean"][0]),
            "intervals": [[float(found["lo-90"][h - 1]), float(found["hi-90"][h - 1])] for h in [1, 5, 22]],
        }
    return out


def conformal():
    """Bounds of a random walk's intervals around its forecast, from its last 250 errors taken in both directions."""
    from statsforecast.models import Naive
    from statsforecast.utils import ConformalIntervals

    levels = [50, 80, 90]
    model = Naive(prediction_intervals=ConformalIntervals(n_windows=250, h=1))
    found = model.fit(np.cumsum(returns(600))).predict(1, level=levels)
    bound = lambda side, level: float(found[f"{side}-{level}"][0] - found["mean"][0])
    return [[bound("lo", level), bound("hi", level)] for level in levels]


def diebold_mariano():
    import statsmodels.api as sm
    from scipy import stats

    first, second = uniforms(300, 3) ** 2, uniforms(300, 4) ** 2 * 1.1
    difference, out = first - second, {}
    for horizon in [1, 10]:
        n = len(difference)
        lags = max(horizon - 1, int(np.floor(np.cbrt(n))))
        fit = sm.OLS(difference, np.ones(n)).fit(
            cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False}
        )
        correction = np.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
        statistic = correction * fit.tvalues[0]
        out[str(horizon)] = [float(statistic), float(2 * stats.t.sf(abs(statistic), n - 1))]
    return out


def lstm():
    import torch

    torch.set_default_dtype(torch.float64)
    inputs, hidden, outputs, batch, steps = 3, 4, 2, 5, 6
    layer, head = torch.nn.LSTM(inputs, hidden, batch_first=True), torch.nn.Linear(hidden, outputs)
    sizes = [4 * hidden * inputs, 4 * hidden * hidden, 4 * hidden, outputs * hidden, outputs]
    numbers = uniforms(sum(sizes), 21) - 0.5
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor(parts[0].reshape(4 * hidden, inputs)))
        layer.weight_hh_l0.copy_(torch.tensor(parts[1].reshape(4 * hidden, hidden)))
        layer.bias_ih_l0.copy_(torch.tensor(parts[2]))
        layer.bias_hh_l0.zero_()
        head.weight.copy_(torch.tensor(parts[3].reshape(outputs, hidden)))
        head.bias.copy_(torch.tensor(parts[4]))
    x = torch.tensor(uniforms(batch * steps * inputs, 22).reshape(batch, steps, inputs) * 2 - 1)
    y = torch.tensor(uniforms(batch * outputs, 23).reshape(batch, outputs))
    tensors = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, head.weight, head.bias]
    optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01)
    losses, gradients, first = [], None, None
    for _ in range(10):
        optimiser.zero_grad()
        # Tapeline keeps one bias where PyTorch keeps two of the same gradient.
        found = head(layer(x)[0][:, -1])
        loss = torch.nn.functional.mse_loss(found, y)
        loss.backward()
        layer.bias_hh_l0.grad.zero_()
        if gradients is None:
            gradients = [t.grad.flatten().tolist() for t in tensors]
            first = found.flatten().tolist()
        losses.append(loss.item())
        optimiser.step()
    return {"outputs": first, "gradients": gradients, "losses": losses}


if __name__ == "__main__":
    parts = [ridge, garch, har, ets, conformal, diebold_mariano, lstm]
    print(json.dumps({part.__name__: part() for part in parts}, indent=1))
