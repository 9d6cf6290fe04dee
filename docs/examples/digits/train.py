"""Trains a small network on the images below data/, and records the run."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gitprov import ProvenanceTracker

CONFIG = {"seed": 1, "epochs": 5, "lr": float(sys.argv[1]) if len(sys.argv) > 1 else 0.005}


def load(folder: str) -> TensorDataset:
    """Reads folder/<class>/*.png."""
    paths = sorted(Path(folder).glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(path), dtype=np.float32) / 255 for path in paths])
    labels = [int(path.parent.name) for path in paths]
    return TensorDataset(torch.from_numpy(pixels).unsqueeze(1), torch.tensor(labels))


def train_one(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader) -> float:
    """Trains for one epoch; returns the mean loss."""
    losses = []
    for images, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def accuracy(model: nn.Module, data: TensorDataset) -> float:
    """Returns which part of the images is told right."""
    images, labels = data.tensors
    with torch.no_grad():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


torch.manual_seed(CONFIG["seed"])
torch.set_num_threads(1)  # sums in another order are other sums: one thread, the same weights
train, test = load("data/train"), load("data/test")
loader = DataLoader(train, batch_size=32, shuffle=True)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(256, 64),
    nn.ReLU(),
    nn.Linear(64, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=CONFIG["lr"])

with ProvenanceTracker() as tracker:
    tracker.track_data("data/train", "data/test")
    tracker.track_model(model)
    tracker.store_merkle_on_blockchain_before_training(CONFIG)
    for epoch in range(CONFIG["epochs"]):
        loss = train_one(model, optimizer, loader)
        tracker.track_epoch(epoch, {"loss": loss}, model)
        print(f"epoch {epoch}: loss {loss:.3f}")
    found = accuracy(model, test)
    save_file(model.state_dict(), "model.safetensors")
    tracker.store_merkle_on_blockchain_after_training({"accuracy": found})
print(f"accuracy {found:.1%}, recorded as runs/{tracker.run_id}.json")
