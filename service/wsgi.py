"""What granian loads in each web process."""

import logging

from service.app import create_app
from service.logs import set_up
from service.models.serving import ModelRef
from service.settings import Settings
from service.web.context import EXTENSION

settings = Settings.load()
set_up(settings.log_level)
logging.getLogger("pixref.start").info("web process starts", extra={"settings": settings.effective()})
app = create_app(settings)
# The first request would wait for it.
app.extensions[EXTENSION].models.warm(ModelRef())
