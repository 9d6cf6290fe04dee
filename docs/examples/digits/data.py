"""Writes scikit-learn's handwritten digits as images: data/<train or test>/<class>/<number>.png."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

digits = load_digits()
for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
    part = "test" if number % 5 == 0 else "train"
    path = Path("data", part, str(label), f"{number:04}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((pixels * 15).astype(np.uint8)).save(path)
print(f"{len(digits.images)} images below data/")
