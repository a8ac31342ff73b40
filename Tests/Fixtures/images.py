"""Writes Tests/Fixtures/images: small images and arrays, and how Pillow reads and resizes them.

usage: python images.py FOLDER   (numpy, pillow)
"""

import json
import os
import struct
import sys

import numpy
from PIL import Image

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
path = lambda name: os.path.join(folder, name)
random = numpy.random.default_rng(5)
y, x = numpy.mgrid[0:9, 0:14]
colours = numpy.stack([(x * 18) % 256, (y * 28) % 256, ((x + y) * 11) % 256], -1).astype(numpy.uint8)
colours = (colours + random.integers(0, 20, colours.shape)).clip(0, 255).astype(numpy.uint8)
image = Image.fromarray(colours)
image.save(path("colours.png"))
image.convert("L").save(path("grey.png"))
Image.fromarray(numpy.dstack([colours, numpy.full((9, 14), 255, numpy.uint8)])).save(path("opaque.png"))
image.convert("P", palette=Image.ADAPTIVE, colors=16).save(path("palette.png"))
image.save(path("colours.jpg"), quality=95, subsampling=0)
expected = {
    name: numpy.asarray(Image.open(path(name)).convert("RGB")).flatten().tolist()
    for name in ("colours.png", "opaque.png", "palette.png", "colours.jpg")}
expected["grey.png"] = numpy.asarray(Image.open(path("grey.png"))).flatten().tolist()
for width, height in ((5, 4), (28, 18), (14, 4)):
    channels = [
        numpy.asarray(Image.fromarray(colours[:, :, c].astype(numpy.float32), mode="F").resize(
            (width, height), Image.BILINEAR)) for c in range(3)]
    expected[f"{width}x{height}"] = [round(float(v), 4) for v in numpy.stack(channels, -1).flatten()]
with open(path("expected.json"), "w") as file:
    json.dump(expected, file)
numbers = random.integers(0, 256, (3, 2, 4)).astype(numpy.uint8)
numpy.save(path("bytes.npy"), numbers)
numpy.save(path("floats.npy"), (numbers / 255).astype(numpy.float32))
numpy.save(path("labels.npy"), numpy.array([1, 0, 2]))
numpy.save(path("fortran.npy"), numpy.asfortranarray(numbers.astype(numpy.float32)))
with open(path("images.idx"), "wb") as file:
    file.write(struct.pack(">BBBBIII", 0, 0, 8, 3, 3, 2, 4) + numbers.tobytes())
with open(path("labels.idx"), "wb") as file:
    file.write(struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes([1, 0, 2]))
