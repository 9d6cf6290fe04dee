"""The demo's data: scikit-learn's handwritten digits as PNG files, and what is done to them."""

import importlib.resources
import os
import stat

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

_FULL = 16
"""The brightest value in scikit-learn's 4-bit images."""


def write_images(folder: str) -> int:
    """Writes folder/<class>/<number>.png for every digit; returns how many."""
    digits = load_digits()
    for name in map(str, range(10)):
        os.makedirs(os.path.join(folder, name))
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        grey = (pixels * 240 / _FULL).astype(np.uint8)
        Image.fromarray(grey).save(os.path.join(folder, str(label), f"{number:04}.png"))
    return len(digits.images)


def train_script() -> str:
    """Returns the text of the training script that the story commits."""
    return importlib.resources.files("gitprov.demo").joinpath("train.py").read_text("utf-8")


def brighten(path: str) -> None:
    """Writes an image again with its brightest pixel at 255."""
    with Image.open(path) as image:
        pixels = np.asarray(image, dtype=np.float32)
    Image.fromarray((pixels * 255 / pixels.max()).astype(np.uint8)).save(path)


def change_pixel(path: str) -> tuple[int, int]:
    """Changes the pixel in the image's middle; returns the old and the new value."""
    with Image.open(path) as image:
        image.load()
        where = (image.width // 2, image.height // 2)
        old = int(np.asarray(image)[where[1], where[0]])
        new = 255 - old
        image.putpixel(where, new)
        image.save(path)
    return old, new


def flip_byte_of(content: bytes, packs: str) -> str | None:
    """Flips one bit in the middle of where a pack keeps these bytes; returns the pack's name."""
    for name in sorted(os.listdir(packs)):
        path = os.path.join(packs, name)
        with open(path, "rb") as file:
            at = file.read().find(content)
        if at < 0:
            continue
        # Packs are read-only; a failing disk or an attacker does not ask.
        os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
        middle = at + len(content) // 2
        with open(path, "r+b") as file:
            file.seek(middle)
            byte = file.read(1)[0]
            file.seek(middle)
            file.write(bytes([byte ^ 1]))
        return name
    return None
