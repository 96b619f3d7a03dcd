"""The pages of labels and of tags: every word with its pictures, to describe, rename, merge or delete. The same views for both."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.errors import Invalid
from service.pictures import merging, words
from service.pictures.words import Kind, WordChange
from service.web.access import access
from service.web.context import actor, context
from service.web.pages.blueprint import pages

PAGE_SIZE = 50
NO_COLOUR = "#808080"


def _back(kind: Kind, message: str) -> Response:
    flash(message, "success")
    return redirect(url_for(f"pages.{kind.value}s", q=request.form.get("q") or None), 303)


def _described() -> dict[str, Any]:
    form = request.form
    return {"colour": form.get("colour") if "has_colour" in form else None, "description": form.get("description")}


@access(Role.VIEWER)
def list_words(kind: Kind) -> str:
    """Show a page of words."""
    args = request.args
    page = words.list_words(
        context().sessions, kind, q=args.get("q"), limit=PAGE_SIZE, after=args.get("after"), before=args.get("before")
    )
    return render_template("labels.html", kind=kind.value, page=page, q=args.get("q", "").strip(), no_colour=NO_COLOUR)


@access(Role.EDITOR)
def create_word(kind: Kind) -> Response:
    """Make a word."""
    made = words.create_word(context().sessions, kind, request.form.get("name", ""), **_described())
    return _back(kind, Markup("The {} <bdi>{}</bdi> is there.").format(kind.value, made.name))


@access(Role.EDITOR)
def change_word(kind: Kind, word_id: int) -> Response:
    """Rename and describe a word."""
    change = WordChange(frozenset({"name", "colour", "description"}), request.form.get("name", ""), **_described())
    changed = words.change_word(context().sessions, kind, word_id, change)
    return _back(kind, Markup("The {} is <bdi>{}</bdi> now.").format(kind.value, changed.name))


@access(Role.EDITOR)
def merge_word(kind: Kind, word_id: int) -> Response:
    """Merge a word into the one whose name was typed."""
    into = words.find_word(context().sessions, kind, request.form.get("into", ""), field="into")
    if "sure" not in request.form:
        raise Invalid("tick that you are sure: there is no way back", field="sure")
    done = merging.merge_words(context().sessions, kind, word_id, into.id, actor=actor())
    pictures = "1 picture" if done.images == 1 else f"{done.images:,} pictures"
    return _back(kind, Markup("{} became <bdi>{}</bdi>.").format(pictures, done.word.name))


@access(Role.EDITOR)
def delete_word(kind: Kind, word_id: int) -> Response:
    """Delete a word that nothing uses."""
    words.delete_word(context().sessions, kind, word_id)
    return _back(kind, f"The {kind.value} is deleted.")


for _kind in Kind:
    _many, _one, _with = f"{_kind.value}s", _kind.value, {"kind": _kind}
    pages.add_url_rule(f"/{_many}", _many, list_words, defaults=_with, methods=["GET"])
    pages.add_url_rule(f"/{_many}", f"create_{_one}", create_word, defaults=_with, methods=["POST"])
    pages.add_url_rule(f"/{_many}/<int:word_id>", f"change_{_one}", change_word, defaults=_with, methods=["POST"])
    pages.add_url_rule(f"/{_many}/<int:word_id>/merge", f"merge_{_one}", merge_word, defaults=_with, methods=["POST"])
    pages.add_url_rule(f"/{_many}/<int:word_id>/delete", f"delete_{_one}", delete_word, defaults=_with, methods=["POST"])
