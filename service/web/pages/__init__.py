"""The pages for people: server-rendered, whole without JavaScript, nicer with it. Importing this registers every view."""

from service.web.pages import editing, gallery, image, models, sign_in, sql, upload  # noqa: F401  (registers the views)
from service.web.pages.blueprint import pages

__all__ = ["pages"]
