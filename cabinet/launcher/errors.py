"""What the launcher says when it cannot go on."""

import errno


class LauncherError(Exception):
    """Cannot start or go on. The text is one sentence for the person at the terminal."""


class AlreadyRunning(LauncherError):
    """Another live launcher holds this LOCAL_DIR."""


_REASONS = {
    errno.EACCES: "нет прав",
    errno.EADDRINUSE: "уже занят",
    errno.EEXIST: "уже существует",
    errno.EISDIR: "это папка",
    errno.ENAMETOOLONG: "слишком длинное имя",
    errno.ENOENT: "нет такого файла или папки",
    errno.ENOSPC: "на диске нет места",
    errno.ENOTDIR: "это не папка",
    errno.EPERM: "не разрешено",
    errno.EROFS: "диск только для чтения",
}


def why(error: OSError) -> str:
    """The system's refusal in Russian; a rare one in the system's own words."""
    return _REASONS.get(error.errno or 0) or error.strerror or str(error)
