"""The LSTM of crates/forecast compared with PyTorch's: gradients, losses, seconds per epoch and inference, on one thread.

    cargo build --release -p forecast --example lstm_speed
    python3 -m venv target/torch && target/torch/bin/pip install torch==2.15.0 numpy
    target/torch/bin/python bench/forecast.py --data DATA/us-equities [--rounds 3] [--dir target/forecast]

Both programs train on the same windows of real bars, from the same initial weights, on the same batches in the same order, with
the same optimiser; they run alternately, each in a process of its own with one thread. Shapes: 12,800 windows of 60 hourly bars
(32 hidden units), and all windows of 22 daily bars (16 hidden units). PyTorch's second bias, which doubles the first, stays 0.

Fails if the gradients differ by more than rounding, the losses by more than seeds make them differ, or 1,000 inferences take more
than 60 ms. Times are only printed: they are the machine's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

#: Name, data, steps, hidden units.
SHAPES = [("hourly", "hour/spy.zip", 60, 32), ("daily", "daily/spy.zip", 22, 16)]

#: Largest difference of gradients, relative to the largest gradient: 60 steps in single precision, summed in another order.
GRADIENT_TOLERANCE = 1e-4
INFERENCE_MS = 60.0

PEER = r"""
import json, sys, time
from pathlib import Path
import numpy as np
import torch

folder = Path(sys.argv[1])
torch.set_num_threads(1)
header, *epochs = (folder / "run.txt").read_text().split("\n")
count, steps, hidden, inputs, batch = (int(word) for word in header.split()[:5])
rate = float(header.split()[5])
read = lambda name, kind: np.fromfile(folder / name, dtype=kind)
rows = read("rows.f32", np.float32).reshape(-1, inputs)
targets = torch.from_numpy(read("targets.f32", np.float32))
windows = np.lib.stride_tricks.sliding_window_view(rows, steps, axis=0)[: len(targets)]
x = torch.from_numpy(np.ascontiguousarray(windows.transpose(0, 2, 1)))
orders = torch.from_numpy(read("order.u32", np.uint32).astype(np.int64)).reshape(-1, count)
validation = torch.from_numpy(read("validation.u32", np.uint32).astype(np.int64))
shapes = [(inputs, 4 * hidden), (hidden, 4 * hidden), (1, 4 * hidden), (hidden, 1), (1, 1)]
ends = np.cumsum([a * b for a, b in shapes])[:-1]
tensors = lambda name: [part.reshape(shape) for part, shape in zip(np.split(read(name, np.float32), ends), shapes)]

layer, head = torch.nn.LSTM(inputs, hidden, batch_first=True), torch.nn.Linear(hidden, 1)
parameters = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, head.weight, head.bias]

def set_weights(name):
    with torch.no_grad():
        for parameter, tensor in zip(parameters, tensors(name)):
            parameter.copy_(torch.from_numpy(tensor.T.reshape(parameter.shape).copy()))
        layer.bias_hh_l0.zero_()

def forecast(windows):
    return head(layer(windows)[0][:, -1])[:, 0]

def loss(samples):
    return torch.nn.functional.mse_loss(forecast(x[samples]), targets[samples])

# The second bias is not among the parameters of the optimiser. Frozen altogether it would make PyTorch slower.
set_weights("weights.f32")
loss(torch.arange(batch)).backward()
largest = max(float(parameter.grad.abs().max()) for parameter in parameters)
pairs = zip(parameters, tensors("gradients.f32"))
difference = max(float(np.abs(p.grad.numpy() - t.T.reshape(p.shape)).max()) for p, t in pairs) / largest

optimiser = torch.optim.Adam(parameters, lr=rate)
found = []
for order in orders:
    started, before, total = time.perf_counter(), time.process_time(), 0.0
    for samples in order.split(batch):
        optimiser.zero_grad()
        layer.bias_hh_l0.grad = None
        value = loss(samples)
        value.backward()
        optimiser.step()
        total += value.item() * len(samples)
    seconds, cpu = time.perf_counter() - started, time.process_time() - before
    with torch.no_grad():
        found.append((seconds, total / count, loss(validation).item(), cpu))

with torch.no_grad():
    times = []
    for _ in range(5):
        started = time.perf_counter()
        forecast(x[:1000])
        times.append((time.perf_counter() - started) * 1e3)
    set_weights("trained.f32")
    outputs = float(np.abs(forecast(x[:1000]).numpy() - read("outputs.f32", np.float32)).max())
print(json.dumps({"epochs": found, "gradients": difference, "outputs": outputs, "inference": min(times), "torch": torch.__version__}))
"""


def run(command: list[object]) -> str:
    one_thread = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=os.environ | one_thread)
    if done.returncode != 0:
        sys.exit(f"{words[0]} failed: exit status {done.returncode}")
    return done.stdout


def compare(options: argparse.Namespace, name: str, data: str, steps: int, hidden: int) -> list[str]:
    """Prints one shape; returns what does not hold."""
    ours, theirs, peers = [], [], []
    for seed in range(1, options.rounds + 1):
        folder = options.dir / f"{name}-{seed}"
        run([options.program, options.data / data, "--seed", seed, "--steps", steps, "--hidden", hidden,
             "--epochs", options.epochs, "--out", folder])  # fmt: skip
        peer = json.loads(run([sys.executable, "-c", PEER, folder]))
        header, *lines = (folder / "run.txt").read_text().split("\n")
        ours.append([[float(word) for word in line.split()] for line in lines if line])
        peers.append(peer | {"ours": float(header.split()[6]), "windows": int(header.split()[0])})
        theirs.append(peer["epochs"])
    print(f"\n{name}: {peers[0]['windows']:,} windows of {steps} bars of {data}, {hidden} hidden units, PyTorch {peers[0]['torch']}")
    print("| epoch | loss, ours | loss, PyTorch | validation, ours | validation, PyTorch | spread over seeds |")
    print("|--:|--:|--:|--:|--:|--:|")
    wrong = []
    for epoch in range(options.epochs):
        means = [statistics.mean(run[epoch][column] for run in runs) for column in (1, 2) for runs in (ours, theirs)]
        spread = max(run[epoch][2] for run in ours) - min(run[epoch][2] for run in ours)
        print(f"| {epoch + 1} | {means[0]:.5f} | {means[1]:.5f} | {means[2]:.5f} | {means[3]:.5f} | {spread:.5f} |")
        for mine, other in zip(ours, theirs):
            if abs(mine[epoch][2] - other[epoch][2]) > max(spread, 1e-4):
                wrong.append(f"{name}, epoch {epoch + 1}: validation loss {mine[epoch][2]}, PyTorch's {other[epoch][2]}, spread {spread}")
    inference = [min(peer[key] for peer in peers) for key in ("ours", "inference")]
    gradients, outputs = (max(peer[key] for peer in peers) for key in ("gradients", "outputs"))
    print(f"\n| | ours | PyTorch | PyTorch / ours |\n|---|--:|--:|--:|")
    for what, column in (("seconds per epoch", 0), ("of them processor time", 3)):
        times = [[epoch[column] for run in runs for epoch in run] for runs in (ours, theirs)]
        medians = [statistics.median(group) for group in times]
        shown = [f"{median:.3f} ({min(group):.3f}-{max(group):.3f})" for median, group in zip(medians, times)]
        print(f"| {what}, median of {len(times[0])} | {shown[0]} | {shown[1]} | {medians[1] / medians[0]:.2f} |")
    print(f"| 1,000 inferences, ms | {inference[0]:.1f} | {inference[1]:.1f} | {inference[1] / inference[0]:.2f} |")
    print(f"| largest difference of gradients, share of the largest | {gradients:.1e} | | |")
    print(f"| largest difference of outputs, same weights | {outputs:.1e} | | |", flush=True)
    if gradients > GRADIENT_TOLERANCE:
        wrong.append(f"{name}: gradients differ by {gradients:.1e}, expected at most {GRADIENT_TOLERANCE:.0e}")
    if inference[0] > INFERENCE_MS:
        wrong.append(f"{name}: 1,000 inferences took {inference[0]:.1f} ms, expected at most {INFERENCE_MS:.0f}")
    return wrong


def main() -> None:
    arguments = argparse.ArgumentParser(description="The LSTM compared with PyTorch's, on one thread")
    arguments.add_argument("--data", type=Path, required=True, help="folder with hour/spy.zip and daily/spy.zip")
    arguments.add_argument("--program", type=Path, default=Path("target/release/examples/lstm_speed"))
    arguments.add_argument("--dir", type=Path, default=Path("target/forecast"))
    arguments.add_argument("--rounds", type=int, default=3, help="number of seeds")
    arguments.add_argument("--epochs", type=int, default=5)
    options = arguments.parse_args()
    wrong = [line for shape in SHAPES for line in compare(options, *shape)]
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
