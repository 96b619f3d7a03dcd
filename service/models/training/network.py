"""The network that is trained where no earlier version is given: small, for pictures from 8 to some hundred pixels. Imported by the child alone."""

import math

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

from service.models.spec import InputSpec
from service.models.training.plan import Augmentation

_WIDEST = 128
# From this side on the first convolution looks at every second pixel only.
_LARGE = 24
# Down to this side a picture is folded; then what is left is read by a dense layer.
_FINAL = 7

# How much of the moving averages is kept at each step. By Keras' own 0.99 they follow over hundreds of steps, which few pictures do not make:
# 850 digits, 105 steps, led to 53 of 100 right with it and to 98 of 100 with this.
_MOMENTUM = 0.9

# Radians, parts, parts and parts of a side: the most that `light` turns, scales, shears and shifts.
_TURN, _SCALE, _SHEAR, _SHIFT = math.radians(12), 0.12, 0.12, 0.07


def build_network(spec: InputSpec, classes: int) -> keras.Model:
    """Build an untrained classifier: convolutions with batch normalisation until 7 pixels a side are left, one hidden layer, a softmax.

    For 28 x 28 x 1 and ten classes it has 180,000 parameters.
    """
    side = min(spec.height, spec.width)
    inputs = keras.Input(spec.shape, name="image")
    x = inputs
    filters, block = 16, 1
    kernel, strides = (5, 2) if side >= _LARGE else (3, 1)
    x = _convolution(x, filters, kernel, strides, block)
    side = math.ceil(side / strides)
    while True:
        filters, block = min(_WIDEST, filters + 16), block + 1
        x = _convolution(x, filters, 3, 1, block)
        if side <= _FINAL:
            break
        block += 1
        x = _convolution(x, filters, 3, 2, block)
        side = math.ceil(side / 2)
    long = max(x.shape[1:3]) > 2 * _FINAL
    x = (layers.GlobalAveragePooling2D(name="pool") if long else layers.Flatten(name="flatten"))(x)
    x = layers.Dropout(0.3, name="dropout1")(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.3, name="dropout2")(x)
    outputs = layers.Dense(classes, activation="softmax", name="scores")(x)
    return keras.Model(inputs, outputs)


def _convolution(x: keras.KerasTensor, filters: int, kernel: int, strides: int, block: int) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=f"conv{block}")(x)
    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"norm{block}")(x)
    return layers.ReLU(name=f"relu{block}")(x)


def augment(levels: npt.NDArray[np.uint8], how: Augmentation, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Change pictures (n, height, width, channels) of levels from 0 to 255 a little, each by a map of its own; float32 of the same shape."""
    pictures = levels.astype(np.float32)
    if how == "none":
        return pictures
    count, height, width, _ = pictures.shape
    if how == "flip":
        mirrored = random.random(count) < 0.5
        pictures[mirrored] = pictures[mirrored, :, ::-1]
    low = np.array([-_TURN, -_SCALE, -_SCALE, -_SHEAR, -_SHIFT * width, -_SHIFT * height])
    angle, wide, high, shear, shift_x, shift_y = random.uniform(low, -low, (count, 6)).T
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = cos * (1 + wide), -sin * (1 + high) + shear
    c, d = sin * (1 + wide), cos * (1 + high)
    # The map goes from output to input coordinates, and turns about the centre instead of the corner.
    x, y = (width - 1) / 2, (height - 1) / 2
    zero = np.zeros(count)
    maps = np.stack([a, b, x - a * x - b * y + shift_x, c, d, y - c * x - d * y + shift_y, zero, zero], axis=1)
    # What comes in from outside repeats the edge: white paper stays white, black ground black.
    moved: npt.NDArray[np.float32] = tf.raw_ops.ImageProjectiveTransformV3(
        images=pictures,
        transforms=maps.astype(np.float32),
        output_shape=[height, width],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    ).numpy()
    return moved
