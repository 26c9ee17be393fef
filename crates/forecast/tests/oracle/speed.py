"""The task of examples/lstm_speed.rs in PyTorch, one thread: seconds per epoch and per 1,000 inferences."""
import time

import torch

torch.set_num_threads(1)
torch.manual_seed(7)
x = torch.randn(12800, 60, 5)
y = 0.3 * sum(x[:, -1 - back, 0] * 0.8**back for back in range(10))
layer, head = torch.nn.LSTM(5, 32, batch_first=True), torch.nn.Linear(32, 1)
optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=1e-3)
for epoch in range(1, 6):
    started, total = time.perf_counter(), 0.0
    for batch in torch.randperm(len(x)).split(64):
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(head(layer(x[batch])[0][:, -1])[:, 0], y[batch])
        loss.backward()
        optimiser.step()
        total += loss.item() * len(batch)
    print(f"epoch {epoch}: {time.perf_counter() - started:.3f} s, loss {total / len(x):.5f}")
with torch.no_grad():
    started = time.perf_counter()
    head(layer(x[:1000])[0][:, -1])
    print(f"inference of 1000 windows: {(time.perf_counter() - started) * 1e3:.1f} ms")
