"""`model.predict` on one picture at a time: `python -m bench.plain_predict MODEL`. For each number on its input it predicts so often, and prints
the microseconds that one took."""

import sys
from time import perf_counter

import keras
import numpy as np

model = keras.models.load_model(sys.argv[1])
picture = np.random.default_rng(0).random((1, *model.input_shape[1:]), np.float32)
for line in sys.stdin:
    count = int(line)
    started = perf_counter()
    for _ in range(count):
        model.predict(picture, verbose=0)
    print((perf_counter() - started) * 1e6 / count, flush=True)
