"""The pages for people: server-rendered, whole without JavaScript, nicer with it. Importing this registers every view."""

from service.web.pages import (  # noqa: F401  (registers the views)
    api_docs,
    editing,
    gallery,
    image,
    jobs,
    labels,
    learning,
    models,
    review,
    selection,
    sign_in,
    sql,
    trying,
    upkeep,
    upload,
)
from service.web.pages.blueprint import pages

__all__ = ["pages"]
