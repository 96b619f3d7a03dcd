"""Train the built-in digit classifier on MNIST and write `mnist.keras` with its record `mnist.json`.

    python models/train_mnist.py --from DIR        # DIR holds the four IDX files of MNIST, plain or gzip

Trains on the 60,000 training pictures (turned, scaled, sheared and shifted a little, anew in every epoch), measures on the
10,000 test pictures, which take no part in any choice, and refuses to write a model below the required accuracy. The
augmentation is part of the input pipeline, not of the saved model.
"""

import argparse
import dataclasses
import hashlib
import json
import math
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

# Both are read while Keras is imported.
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")  # noqa: TID251

import keras
import tensorflow as tf
from keras import layers

from service.datasets.idx import load_split
from service.models.spec import InputSpec, default_preprocessing

SIZE = 28
CLASSES = 10
REQUIRED_TEST_ACCURACY = 0.99
PEAK_LEARNING_RATE = 3e-3


def build_model() -> keras.Model:
    """Build the network: four convolutions and one hidden layer, about 84,000 parameters and 3.4 MFLOP a picture."""
    inputs = keras.Input((SIZE, SIZE, 1), name="image")
    x = inputs
    for block, (filters, kernel, strides) in enumerate([(16, 5, 2), (32, 3, 1), (48, 3, 1), (64, 3, 2)], start=1):
        x = layers.Conv2D(filters, kernel, strides=strides, use_bias=False, name=f"conv{block}")(x)
        x = layers.BatchNormalization(name=f"norm{block}")(x)
        x = layers.ReLU(name=f"relu{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.3, name="dropout1")(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.3, name="dropout2")(x)
    outputs = layers.Dense(CLASSES, activation="softmax", name="scores")(x)
    return keras.Model(inputs, outputs, name="mnist")


def augment(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Apply one random affine map per picture: up to 12 degrees, 12 % in size, 0.12 shear and 2 pixels of shift."""
    low = tf.constant([-math.radians(12), -0.12, -0.12, -0.12, -2.0, -2.0])
    drawn = tf.random.stateless_uniform([tf.shape(images)[0], 6], seed, minval=low, maxval=-low)
    angle, width, height, shear, shift_x, shift_y = tf.unstack(drawn, axis=1)
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = cos * (1 + width), -sin * (1 + height) + shear
    c, d = sin * (1 + width), cos * (1 + height)
    # The map goes from output to input coordinates and turns about the centre, not about the corner.
    centre = (SIZE - 1) / 2
    offset_x = centre - a * centre - b * centre + shift_x
    offset_y = centre - c * centre - d * centre + shift_y
    zero = tf.zeros_like(angle)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, offset_x, c, d, offset_y, zero, zero], axis=1),
        output_shape=[SIZE, SIZE],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


def training_data(directory: Path, batch_size: int, seed: int) -> tf.data.Dataset:
    """Build the shuffled, augmented training pipeline; its order and its randomness follow from the seed."""
    images, labels = load_split(directory, "train")
    pictures = tf.data.Dataset.from_tensor_slices((images[..., None], labels))
    pictures = pictures.shuffle(len(images), seed=seed, reshuffle_each_iteration=True).batch(batch_size, drop_remainder=True)
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    paired = tf.data.Dataset.zip(pictures, seeds)
    prepared = paired.map(
        lambda picture, seed_pair: (augment(tf.cast(picture[0], tf.float32) / 255.0, seed_pair), picture[1]),
        num_parallel_calls=2,
        deterministic=True,
    )
    return prepared.prefetch(4)


def train(directory: Path, out: Path, *, epochs: int, batch_size: int, seed: int) -> None:
    """Train, evaluate, and write `mnist.keras` and `mnist.json` into the folder `out`."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    data = training_data(directory, batch_size, seed)
    steps = epochs * int(data.cardinality())
    schedule = keras.optimizers.schedules.CosineDecay(
        PEAK_LEARNING_RATE / 10, steps - steps // 20, alpha=0.001, warmup_target=PEAK_LEARNING_RATE, warmup_steps=steps // 20
    )
    model = build_model()
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    started = time.monotonic()
    history = model.fit(data, epochs=epochs, shuffle=False, verbose=2).history
    seconds = time.monotonic() - started

    images, labels = load_split(directory, "test")
    loss, accuracy = model.evaluate(images[..., None].astype("float32") / 255.0, labels, batch_size=500, verbose=0)
    if accuracy < REQUIRED_TEST_ACCURACY:
        sys.exit(f"test accuracy {accuracy:.4f} is below the required {REQUIRED_TEST_ACCURACY}; nothing was written")

    # Without the optimizer's state the file is a third of the size, and nobody resumes this training.
    saved = keras.Model(model.inputs, model.outputs, name="mnist")
    artifact = out / "mnist.keras"
    saved.save(artifact)
    spec = InputSpec(height=SIZE, width=SIZE, channels=1)
    # MNIST's digits are light on black; people photograph and draw theirs dark on white.
    recipe = dataclasses.replace(default_preprocessing(spec), invert="auto")
    record = {
        "name": "mnist",
        "file": artifact.name,
        "sha256": hashlib.sha256(artifact.read_bytes()).hexdigest(),
        "byte_size": artifact.stat().st_size,
        "parameters": saved.count_params(),
        "labels": [str(digit) for digit in range(CLASSES)],
        "input": spec.to_json(),
        "preprocessing": recipe.to_json(),
        "metrics": {"test_pictures": len(images), "test_accuracy": round(accuracy, 6), "test_loss": round(loss, 6)},
        "training": {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "script": Path(__file__).name,
            "data": "MNIST, 60,000 training pictures",
            "seed": seed,
            "epochs": epochs,
            "batch_size": batch_size,
            "optimizer": "AdamW, cosine decay with warm-up",
            "peak_learning_rate": PEAK_LEARNING_RATE,
            "seconds": round(seconds),
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "history": {name: [round(float(value), 5) for value in values] for name, values in history.items()},
        },
    }
    (out / "mnist.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"test accuracy {accuracy:.4f}, loss {loss:.4f}, {artifact} ({record['byte_size']} bytes), {seconds:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--from", dest="directory", type=Path, required=True, help="folder with the IDX files of MNIST")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder to write to (default: beside this script)"
    )
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=20261123)
    arguments = parser.parse_args()
    train(arguments.directory, arguments.out, epochs=arguments.epochs, batch_size=arguments.batch_size, seed=arguments.seed)


if __name__ == "__main__":
    main()
