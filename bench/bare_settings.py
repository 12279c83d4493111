"""Settings of the server that our pages and hooks are measured against: the same database, no middleware."""

from bench import settings as run

globals().update({name: value for name, value in vars(run).items() if name.isupper()})

MIDDLEWARE: list[str] = []
ROOT_URLCONF = "bench.bare_view"
INSTALLED_APPS: list[str] = []
