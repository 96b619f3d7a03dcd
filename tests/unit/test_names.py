"""Names as people type them: what is kept, and that whatever is kept survives PostgreSQL's rules."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Invalid
from service.names import (
    ATTRIBUTES_MAX_BYTES,
    FILE_NAME_MAX_BYTES,
    NAME_MAX,
    clean_attributes,
    clean_file_name,
    clean_name,
    clean_split,
    clean_tags,
    parse_attributes,
)

ANY_TEXT = st.text(st.characters(codec=None), max_size=400)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


def keepable(text: str) -> bool:
    return "\x00" not in text and all(unicodedata.category(char) != "Cs" for char in text)


@given(ANY_TEXT)
def test_a_name_is_refused_or_kept_in_one_form(text: str) -> None:
    try:
        name = clean_name(text, field="label")
    except Invalid as refused:
        assert refused.field == "label"
        return
    assert 1 <= len(name) <= NAME_MAX
    assert name == " ".join(name.split()) == unicodedata.normalize("NFC", name)
    assert keepable(name)
    assert clean_name(name, field="label") == name
    assert clean_name(f"\t{name} \n", field="label") == name


def test_names_that_look_the_same_are_the_same() -> None:
    assert clean_name("cafe\u0301", field="f") == clean_name(" caf\u00e9 ", field="f") == "café"
    assert clean_name("a\u00a0\t b", field="f") == "a b"
    assert clean_name("👩\u200d🔬", field="f") == "👩\u200d🔬"
    assert clean_name("x" * NAME_MAX, field="f") == "x" * NAME_MAX
    for bad in ("", " \u3000", "a\x00b", "a\x7f", "a\x1bb", "\ud800", "x" * (NAME_MAX + 1)):
        with pytest.raises(Invalid):
            clean_name(bad, field="f")


@given(ANY_TEXT | st.none())
def test_a_file_name_is_never_refused(text: str | None) -> None:
    name = clean_file_name(text)
    if name is None:
        return
    assert 1 <= len(name.encode()) <= FILE_NAME_MAX_BYTES
    assert not set("/\\") & set(name)
    assert keepable(name)


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("C:\\Users\\me\\cat.png", "cat.png"),
        ("/etc/passwd", "passwd"),
        ("../../x.png", "x.png"),
        ("dir/", None),
        ("\x00\x01", None),
        ("a\x00b.png", "ab.png"),
        (" cat.png ", "cat.png"),
        ("e\u0301.png", "\u00e9.png"),
        ("é" * 300 + ".png", "é" * 125 + ".png"),
        ("x" * 300, "x" * 255),
        ("a." + "b" * 300, "a." + "b" * 253),
    ],
)
def test_file_names(given_name: str, kept: str | None) -> None:
    assert clean_file_name(given_name) == kept


def test_tags() -> None:
    assert clean_tags(["b", " a", "b ", "a"]) == ["a", "b"]
    assert len(clean_tags([f"t{n}" for n in range(100)] + ["t0"])) == 100
    with pytest.raises(Invalid, match="at most 100"):
        clean_tags([f"t{n}" for n in range(101)])
    with pytest.raises(Invalid):
        clean_tags(["ok", " "])


def test_splits() -> None:
    assert clean_split(None) is clean_split("") is None
    assert clean_split("fold-1_a") == "fold-1_a"
    for bad in ("Train", "a b", "train\n", "\n", "x" * 33, "ä"):
        with pytest.raises(Invalid):
            clean_split(bad)


@given(st.dictionaries(ANY_TEXT, JSON, max_size=5))
def test_attributes_are_refused_or_kept_as_they_are(value: dict[str, object]) -> None:
    try:
        kept = clean_attributes(value)
    except Invalid as refused:
        assert refused.field == "attributes"
        return
    text = json.dumps(kept, allow_nan=False, ensure_ascii=False)
    assert len(text.encode()) <= ATTRIBUTES_MAX_BYTES
    assert keepable(text)
    assert kept == value


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        '"text"',
        "7",
        "null x",
        "{",
        '{"a": NaN}',
        '{"a": [Infinity]}',
        '{"a": 1e999}',
        '{"a": "\\u0000"}',
        '{"\\u0000": 1}',
        '{"a": "\\ud800"}',
        '{"a": ' + "[" * 9 + "]" * 9 + "}",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a": ' + "9" * 5000 + "}",
        json.dumps({"a": "x" * ATTRIBUTES_MAX_BYTES}),
    ],
    ids=lambda text: text[:20],
)
def test_attributes_that_cannot_be_kept(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_attributes(text)
    assert caught.value.field == "attributes"


def test_no_attributes() -> None:
    assert parse_attributes(None) == parse_attributes(" ") == parse_attributes("{}") == parse_attributes("null") == {}
