"""Trains a softmax regression on the images below data/ and writes model.safetensors."""

import json
import os
import struct
import sys

import numpy as np
from PIL import Image

EPOCHS = 150
LEARNING_RATE = 0.5


def load(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads folder/<class>/*.png; every image becomes a row of values from 0 to 1."""
    rows, labels = [], []
    for name in sorted(os.listdir(folder)):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            with Image.open(os.path.join(folder, name, file)) as image:
                rows.append(np.asarray(image, dtype=np.float32).ravel() / 255)
            labels.append(int(name))
    return np.stack(rows), np.array(labels)


def train(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minimises cross-entropy by gradient descent over all rows at once."""
    classes = int(labels.max()) + 1
    wanted = np.eye(classes, dtype=np.float32)[labels]
    weight = np.zeros((rows.shape[1], classes), dtype=np.float32)
    bias = np.zeros(classes, dtype=np.float32)
    for _ in range(EPOCHS):
        logits = rows @ weight + bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = odds / odds.sum(axis=1, keepdims=True) - wanted
        weight -= LEARNING_RATE * rows.T @ error / len(rows)
        bias -= LEARNING_RATE * error.mean(axis=0)
    return weight, bias


def save(path: str, tensors: dict[str, np.ndarray]) -> None:
    """Writes safetensors: the header's length, the header as JSON, the raw tensors."""
    header: dict[str, dict[str, object]] = {}
    body = b""
    for name, tensor in sorted(tensors.items()):
        raw = tensor.astype("<f4").tobytes()
        offsets = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        body += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def main() -> None:
    """Trains on four images of five and tests on the fifth."""
    rows, labels = load("data")
    held_out = np.arange(len(rows)) % 5 == 0
    weight, bias = train(rows[~held_out], labels[~held_out])
    guessed = (rows[held_out] @ weight + bias).argmax(axis=1)
    accuracy = (guessed == labels[held_out]).mean()
    save("model.safetensors", {"bias": bias, "weight": weight})
    sys.stdout.write(
        f"{len(rows):,} images, {EPOCHS} epochs: "
        f"accuracy {accuracy:.1%} on {held_out.sum()} images held out\n"
    )


if __name__ == "__main__":
    main()
