"""Starts a real PostgreSQL, a real Valkey, and our own processes.

Nothing here imports Django: the launcher runs before the settings are read and writes the
environment they read.
"""

from cabinet.launcher.embedded import Servers, servers, servers_for_tests
from cabinet.launcher.errors import LauncherError

__all__ = ["LauncherError", "Servers", "servers", "servers_for_tests"]
