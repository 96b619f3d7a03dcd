"""Keys carry the digest, are never the same twice, and nothing else passes for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.keys import (
    IMAGES,
    MODELS,
    PROBE,
    UPLOADS,
    new_image_key,
    new_model_key,
    new_probe_key,
    new_staging_key,
    sha256_of_key,
)

DIGEST = "0123456789abcdef" * 4
UUID = "9f1c1f0e-3a59-4f0a-9b6e-0d1c2b3a4f5e"

digests = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(digests)
def test_the_digest_comes_back_from_the_key(sha256: str) -> None:
    image, model = new_image_key(sha256), new_model_key(sha256, ".tflite")

    assert sha256_of_key(image) == sha256 == sha256_of_key(model)
    assert image.startswith(f"{IMAGES}{sha256[:2]}/{sha256}/")
    assert image.endswith(".png")
    assert model.startswith(f"{MODELS}{sha256}/")
    assert model.endswith(".tflite")


def test_keys_are_never_the_same_twice() -> None:
    keys = {
        key
        for _ in range(100)
        for key in (new_image_key(DIGEST), new_model_key(DIGEST, ".keras"), new_staging_key(DIGEST), new_probe_key())
    }

    assert len(keys) == 400


def test_what_clients_put_lies_apart_and_vouches_for_nothing() -> None:
    key = new_staging_key(DIGEST)

    assert key.startswith(f"{UPLOADS}{DIGEST[:2]}/{DIGEST}/")
    assert sha256_of_key(key) is None


@pytest.mark.parametrize("sha256", ["", "abc", DIGEST.upper(), DIGEST[:-1] + "g", DIGEST + "0", DIGEST + "\n"])
def test_what_is_no_digest_makes_no_key(sha256: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        new_image_key(sha256)
    with pytest.raises(ValueError, match="not a SHA-256"):
        new_model_key(sha256, ".keras")
    with pytest.raises(ValueError, match="not a SHA-256"):
        new_staging_key(sha256)


@pytest.mark.parametrize(
    "key",
    [
        "",
        f"images/{DIGEST[:2]}/{DIGEST}/{UUID}.jpg",
        f"images/ff/{DIGEST}/{UUID}.png",
        f"images/{DIGEST[:2]}/{DIGEST}/{UUID}.png\n",
        f"images/{DIGEST[:2]}/{DIGEST}/{UUID.upper()}.png",
        f"images/{DIGEST[:2]}/{DIGEST}/other.png",
        f"x/images/{DIGEST[:2]}/{DIGEST}/{UUID}.png",
        f"models/{DIGEST}/{UUID}.h5",
        f"models/{DIGEST[:2]}/{DIGEST}/{UUID}.keras",
        f"{PROBE}{UUID}",
        f"incoming/{UUID}",
    ],
)
def test_other_keys_carry_no_digest(key: str) -> None:
    assert sha256_of_key(key) is None
