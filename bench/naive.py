"""The course project's app, as we read it: Flask, Pillow, `model.predict` in the request, PNGs in BYTEA columns, the ORM, one commit a row.

Run by gunicorn with its usual synchronous workers: `gunicorn 'bench.naive:create_app("model.keras", "postgresql://...")'`.
"""

from datetime import datetime
from io import BytesIO

import keras
import numpy as np
from flask import Flask, Response, jsonify, request
from PIL import Image as Pillow
from sqlalchemy import ForeignKey, LargeBinary, create_engine, func
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Image(Base):
    __tablename__ = "images"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class Prediction(Base):
    __tablename__ = "predictions"

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"))
    label: Mapped[str]
    score: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


def create_app(model_path: str, database_url: str) -> Flask:
    """Return the app with its model loaded."""
    app = Flask(__name__)
    model = keras.models.load_model(model_path)
    engine = create_engine(database_url)

    def classify(png: bytes) -> tuple[str, list[float]]:
        pixels = np.asarray(Pillow.open(BytesIO(png)).convert("L").resize((28, 28)), dtype="float32") / 255
        scores = model.predict(pixels.reshape(1, 28, 28, 1), verbose=0)[0]
        return str(int(scores.argmax())), [float(score) for score in scores]

    @app.post("/predict")
    def predict() -> Response:
        label, scores = classify(request.files["file"].read())
        return jsonify(label=label, scores=scores)

    @app.post("/images/<int:image_id>/predictions")
    def predict_image(image_id: int) -> Response:
        with Session(engine) as session:
            image = session.get_one(Image, image_id)
            label, scores = classify(image.data)
            session.add(Prediction(image_id=image.id, label=label, score=max(scores)))
            session.commit()
            return jsonify(image_id=image.id, label=label, scores=scores)

    return app
