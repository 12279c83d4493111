"""Entry point of the web processes."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cabinet.settings")

# All that is imported stays: looking through it for garbage is a sixth of the start, and touches pages
# of memory that the processes share.
gc.disable()
application = get_wsgi_application()
gc.freeze()
gc.enable()
