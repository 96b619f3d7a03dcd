"""Endpoints on labels and tags themselves: the same six for each."""

from datetime import datetime
from typing import Any

from flask import url_for
from pydantic import ConfigDict, Field

from service.accounts.actor import Role
from service.errors import Conflict
from service.pictures import merging, words
from service.pictures.search import PAGE_DEFAULT, PAGE_MAX
from service.pictures.words import Kind, WordChange, WordInfo
from service.settings import KIB
from service.web.api import api
from service.web.api.contract import Answer, endpoint
from service.web.api.fields import Colour, Id, Name, NameOrBlank, Prose
from service.web.api.requests import Shape, Strict
from service.web.context import actor, context

# A name or cursor of 200 characters, each of up to four bytes.
CURSOR_MAX = 1_100
JSON_HEADER = "-H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json'"


class Word(Shape):
    """A label or a tag."""

    id: int
    name: str
    colour: str | None = Field(description="#rrggbb")
    description: str | None
    images: int = Field(description="how many pictures have it")
    synonyms: list[str] = Field(description="names of what was merged into it; they lead here")
    created_at: datetime


class WordPage(Shape):
    items: list[Word]
    next: str | None = Field(description="pass as `after` for the next page; null at the end")
    prev: str | None = Field(description="pass as `before` for the page before; null at the beginning")


class WordQuery(Strict):
    q: NameOrBlank | None = Field(None, description="a part of the name, in any case of letters")
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_MAX)
    after: str | None = Field(
        None, description="`next` of a page", max_length=CURSOR_MAX, json_schema_extra={"format": "word-cursor"}
    )
    before: str | None = Field(
        None,
        description="`prev` of a page; with `after` what lies between",
        max_length=CURSOR_MAX,
        json_schema_extra={"format": "word-cursor"},
    )


class WordBody(Strict):
    name: Name
    colour: Colour | None = Field(None, description="#rrggbb")
    description: Prose | None = Field(None, description="what it means")


class WordPatch(Strict):
    """What is given is changed: at least one of them."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    name: Name = Field(None, validate_default=False)  # type: ignore[assignment]  # may be left out, and is not null then
    colour: Colour | None = Field(None, description="#rrggbb; null takes it off")
    description: Prose | None = Field(None, description="what it means; null takes it off")


class MergeBody(Strict):
    into: Id = Field(description="the id of the one that is left")


class Merged(Shape):
    word: Word = Field(description="the one that is left")
    images: int = Field(description="pictures that were changed, those in the trash included")
    predictions: int = Field(description="predictions that were changed")


_LIST = """\
By name, with the number of pictures that have each; those that no picture has, too. `next` as `after` and `prev` as `before` page through
the {many}."""
_CREATE = "For a {one} that no picture has yet, or to give it a colour and a description at once. 409 where the name is taken."
_GET = "404 also for one that was merged, with `merged_into`: the {one} that it became."
_CHANGE = """\
Name, colour, description: what is given is changed. A renamed {one} is the same {one}: everything that has it shows the new name, the history
too. 409 where the name is taken: merge then."""
_DELETE = "204, for one that nothing refers to: else 409, with `uses` saying what does. Merge such a {one} instead."
_MERGE = {
    Kind.LABEL: """\
`{"into": 7}`: every picture with this label gets the other, in one transaction, with an entry in its history by you; earlier entries keep the
old name. Predictions and classes of models follow, so that they go on agreeing. The old name becomes a synonym, and there is no way back.
409 where one version of a model has both labels as classes: it tells them apart. Safe to repeat.""",
    Kind.TAG: """\
`{"into": 7}`: every picture with this tag gets the other, in one transaction. The old name becomes a synonym, and there is no way back. Safe
to repeat.""",
}


def _declare(kind: Kind) -> None:
    one, many = kind.value, f"{kind.value}s"
    said = {"one": one, "many": many}
    path = f"/{many}"

    def shown(info: WordInfo, status: int = 200) -> Answer:
        address = {"Location": url_for(f"api.get_{one}", word_id=info.id)} if status == 201 else {}
        return Word.model_validate(info), status, address

    def list_words(query: WordQuery) -> Answer:
        return WordPage.model_validate(words.list_words(context().sessions, kind, **query.model_dump()))

    def create_word(body: WordBody) -> Answer:
        made = words.create_word(context().sessions, kind, body.name, colour=body.colour, description=body.description)
        return shown(made, 201)

    def get_word(word_id: int) -> Answer:
        return shown(words.get_word(context().sessions, kind, word_id))

    def change_word(word_id: int, body: WordPatch) -> Answer:
        change = WordChange(frozenset(body.model_fields_set), body.name, body.colour, body.description)
        return shown(words.change_word(context().sessions, kind, word_id, change))

    def merge_word(word_id: int, body: MergeBody) -> Answer:
        return Merged.model_validate(merging.merge_words(context().sessions, kind, word_id, body.into, actor=actor()))

    def delete_word(word_id: int) -> Answer:
        words.delete_word(context().sessions, kind, word_id)
        return None, 204

    common: dict[str, Any] = {"errors": (Conflict,)}
    endpoint(
        api,
        "GET",
        path,
        Role.VIEWER,
        name=f"list_{many}",
        description=_LIST.format(**said),
        summary=f"List {many} by name",
        query=WordQuery,
        answers={200: WordPage},
    )(list_words)
    endpoint(
        api,
        "POST",
        path,
        Role.EDITOR,
        name=f"create_{one}",
        description=_CREATE.format(**said),
        summary=f"Make a {one}",
        body=WordBody,
        answers={201: Word},
        headers={"Location": f"where the {one} is"},
        example=f'curl -s {JSON_HEADER} -d \'{{"name": "zebra", "colour": "#0f766e"}}\' $PIXREF/api/v1/{many}',
        **common,
    )(create_word)
    single = f"{path}/<int:word_id>"
    endpoint(
        api,
        "GET",
        single,
        Role.VIEWER,
        name=f"get_{one}",
        description=_GET.format(**said),
        summary=f"One {one}",
        answers={200: Word},
    )(get_word)
    endpoint(
        api,
        "PATCH",
        single,
        Role.EDITOR,
        name=f"change_{one}",
        description=_CHANGE.format(**said),
        summary=f"Rename or describe a {one}",
        body=WordPatch,
        answers={200: Word},
        **common,
    )(change_word)
    endpoint(
        api,
        "POST",
        f"{single}/merge",
        Role.EDITOR,
        name=f"merge_{one}",
        description=_MERGE[kind],
        summary=f"Merge a {one} into another",
        body=MergeBody,
        answers={200: Merged},
        max_body=1 * KIB,
        **common,
    )(merge_word)
    endpoint(
        api,
        "DELETE",
        single,
        Role.EDITOR,
        name=f"delete_{one}",
        description=_DELETE.format(**said),
        summary=f"Delete a {one}",
        answers={204: ""},
        **common,
    )(delete_word)


for _kind in Kind:
    _declare(_kind)
