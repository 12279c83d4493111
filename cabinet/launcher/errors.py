"""What the launcher says when it cannot go on."""


class LauncherError(Exception):
    """Cannot start or go on. The text is one sentence for the person at the terminal."""


class AlreadyRunning(LauncherError):
    """Another live launcher holds this LOCAL_DIR."""
