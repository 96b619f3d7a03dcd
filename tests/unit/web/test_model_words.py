"""What is known of a version, in words: ours are worded, anybody's are shown as they are."""

import pytest

from service.web.pages.model_words import metrics_in_words, value_in_words

ALL_HELD = {"limits": True, "network": True, "landlock": 7, "seccomp": True}


def test_a_trained_version_reads_well() -> None:
    metrics = {
        "job": 1,
        "plan": {"epochs": 15, "batch_size": 16, "learning_rate": 0.003, "seed": 0, "augmentation": "light"},
        "keras": "3.15.1",
        "epochs": [{"epoch": 1}],
        "sandbox": ALL_HELD,
        "snapshot": "c4feaf2961953947c156f2be96530afff97060855",
        "versions": {"keras": "3.15.1", "numpy": "2.4.6", "tensorflow": "2.21.0"},
        "parameters": 179802,
        "from_version": None,
        "training_seconds": 12.7,
        "validation_accuracy": 0.9451,
        "litert_max_difference": 1.073e-06,
    }
    assert list(metrics_in_words(metrics)) == [
        ("Validation accuracy", "94.51 %"),
        ("Parameters", "179,802"),
        ("Trained", "15 epochs, batches of 16, learning rate 0.003, augmentation light, seed 0"),
        ("Job", "1"),
        ("Opened", "in a sandbox whose every wall held"),
        ("Snapshot", "c4feaf296195"),
        ("Made with", "Keras 3.15.1, NumPy 2.4.6, TensorFlow 2.21.0"),
        ("Training took", "13 s"),
        ("LiteRT and Keras", "differ by 1.1e-06 at most"),
    ]


def test_a_wall_that_is_missing_is_named() -> None:
    (line,) = metrics_in_words({"sandbox": ALL_HELD | {"network": False, "landlock": 0}})
    assert line == ("Opened", "in a sandbox, without a closed network; closed files (Landlock)")


def test_a_version_that_goes_on_from_another_names_it() -> None:
    assert list(metrics_in_words({"keras": "3.15.1", "from_version": 2, "not_converted": "no kernel"})) == [
        ("Saved by", "Keras 3.15.1"),
        ("Trained on from", "version 2"),
        ("Not on LiteRT", "no kernel"),
    ]


@pytest.mark.parametrize(
    "odd",
    [
        {"plan": "by hand"},
        {"plan": {"epochs": "many"}},
        {"sandbox": {"limits": 1}},
        {"sandbox": {**ALL_HELD, "more": True}},
        {"versions": ["1"]},
        {"test_accuracy": "good"},
        {"litert_max_difference": "little"},
        {"snapshot": 7},
    ],
)
def test_what_somebody_else_wrote_is_shown_as_it_is(odd: dict[str, object]) -> None:
    ((_, value),) = metrics_in_words(odd)
    assert value == value_in_words(next(iter(odd.values())))


def test_values_of_json() -> None:
    assert [value_in_words(value) for value in (1234567, 0.123456, True, "žirafa", {"a": ["ü"]}, None)] == [
        "1,234,567",
        "0.1235",
        "yes",
        "žirafa",
        '{"a": ["ü"]}',
        "null",
    ]
