"""What granian loads in each web process."""

import logging

from service.app import create_app
from service.logs import set_up
from service.settings import Settings

settings = Settings.load()
set_up(settings.log_level)
logging.getLogger("pixref.start").info("web process starts", extra={"settings": settings.effective()})
app = create_app(settings)
