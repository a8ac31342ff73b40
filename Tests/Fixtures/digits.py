"""Writes scikit-learn's handwritten digits as arrays: usage: python digits.py FOLDER"""

import os
import sys

import numpy
from sklearn.datasets import load_digits

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
digits = load_digits()
numpy.save(os.path.join(folder, "images.npy"), (digits.images * 255 / 16).round().astype(numpy.uint8))
numpy.save(os.path.join(folder, "labels.npy"), digits.target.astype(numpy.int64))
