"""Architecture A in PyTorch, bare updates: for each line of standard input, a number and a precision, it does as many
images and prints its rate. Precisions are float32 and mixed_bfloat16 (autocast).

A process of its own, for PyTorch and TensorFlow bring two LLVMs that don't go together. benchmarks/train.py starts it.
"""

from __future__ import annotations

import sys
import time

import torch
from torch import nn

PARAMETERS = 701_386  # of architecture A for ten classes
BATCH = 128


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    """As TensorFlow pads with "same"."""
    padding = [] if size == 1 else [nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else 1)]
    return [*padding, nn.Conv2d(inputs, outputs, size, stride)]


def network() -> nn.Module:
    """[n, 3, 32, 32] -> logits [n, 10]."""
    return nn.Sequential(
        *convolution(3, 32), nn.ReLU(), *convolution(32, 64), nn.ReLU(), *convolution(64, 128, stride=2), nn.Dropout(0.5),
        *convolution(128, 128), nn.ReLU(), *convolution(128, 128), nn.ReLU(), *convolution(128, 128, stride=2), nn.Dropout(0.5),
        *convolution(128, 128), nn.ReLU(), *convolution(128, 128, 1), nn.ReLU(), *convolution(128, 10, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


def main() -> None:
    """Serves until its input ends."""
    model = network().to(memory_format=torch.channels_last)
    if (count := sum(each.numel() for each in model.parameters())) != PARAMETERS:
        raise SystemExit(f"{count} parameters instead of {PARAMETERS}")
    optimiser = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, nesterov=True)
    batch = torch.rand(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,))
    print(torch.__version__, flush=True)
    for line in sys.stdin:
        count, precision = line.split()
        updates, started = int(count) // BATCH, time.perf_counter()
        for _ in range(updates):
            optimiser.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed_bfloat16"):
                loss = nn.functional.cross_entropy(model(batch), labels)
            loss.backward()
            optimiser.step()
        print(updates * BATCH / (time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()
