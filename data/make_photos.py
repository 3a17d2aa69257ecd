"""photos/chelsea.png, photos/coffee.png: scikit-image's two CC0 photos, 224x224, for patches."""

import io
import tempfile

from packages import HERE, from_pypi, report
from PIL import Image

from minivit import files

CORNER = {"chelsea": (90, 0, 300), "coffee": (130, 0, 400)}  # left, top and side of the square kept

(HERE / "photos").mkdir(exist_ok=True)
with tempfile.TemporaryDirectory() as folder:
    wheel = from_pypi("scikit-image==0.26.0", folder)
    for name, (left, top, side) in CORNER.items():
        photo = Image.open(io.BytesIO(wheel.read(f"skimage/data/{name}.png"))).convert("RGB")
        square = photo.crop((left, top, left + side, top + side))
        small = square.resize((224, 224), Image.Resampling.LANCZOS)
        with files.writing_whole(HERE / "photos" / f"{name}.png") as half:
            small.save(half, "PNG", optimize=True)
        report(f"photos/{name}.png")
