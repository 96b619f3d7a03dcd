"""Predict stored pictures as a plain script does: read by the ORM, decode with Pillow, `predict_on_batch`, `add_all`, commit a batch.

`python -m bench.plain_bulk MODEL COUNT` with the database's URL on standard input; prints how long it took as JSON. The start of TensorFlow and a
first batch, which Keras compiles its graph for, are not counted.
"""

import json
import sys
import time
from io import BytesIO

import keras
import numpy as np
from PIL import Image as Pillow
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from bench.naive import Image, Prediction

BATCH = 256


def predict_all(model: keras.Model, session: Session, count: int) -> int:
    """Predict the first `count` pictures and commit a row for each; return how many there were."""
    done = last = 0
    while done < count:
        query = select(Image).where(Image.id > last).order_by(Image.id).limit(min(BATCH, count - done))
        if not (images := session.scalars(query).all()):
            break
        pixels = [np.asarray(Pillow.open(BytesIO(image.data)).convert("L"), dtype="float32") / 255 for image in images]
        scores = model.predict_on_batch(np.stack(pixels)[..., np.newaxis])
        session.add_all(
            Prediction(image_id=image.id, label=str(int(row.argmax())), score=float(row.max()))
            for image, row in zip(images, scores, strict=True)
        )
        session.commit()
        last = images[-1].id
        session.expunge_all()
        done += len(images)
    return done


if __name__ == "__main__":
    path, count = sys.argv[1:]
    model = keras.models.load_model(path)
    model.predict_on_batch(np.zeros((BATCH, 28, 28, 1), "float32"))
    # The rows keep their values when they are committed: they are not read again.
    with Session(create_engine(sys.stdin.read().strip()), expire_on_commit=False) as session:
        session.connection()
        started = time.perf_counter()
        done = predict_all(model, session, int(count))
        print(json.dumps({"pictures": done, "seconds": time.perf_counter() - started}))
