"""Lynx on a terminal of its own: what a person sees and types who has only text."""

import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.browsers.drivers import SECONDS, Stuck

_ROWS, _COLUMNS = 300, 120  # high enough for every page: nothing has to be scrolled
_OPTIONS = (
    *("-accept_all_cookies", "-nopause", "-number_fields", "-tna"),
    *("-display_charset=utf-8", "-assume_charset=utf-8"),
)
_CALM = 0.3  # seconds between keys and the next look


@dataclass
class Lynx:
    """Links, fields and buttons are reached by the numbers that lynx shows before them."""

    tmux: str
    lynx: str
    folder: Path
    complaints: list[str] = field(default_factory=list)
    scripts: bool = False
    _is_started: bool = False

    def open(self, url: str) -> None:
        """The first address starts lynx; later ones are typed into it, so that cookies stay."""
        if self._is_started:
            self._keys("g", "C-u")
            self._type(url, "Enter")
        else:
            size = ("-x", str(_COLUMNS), "-y", str(_ROWS))
            self._tmux("-f", "/dev/null", "new-session", "-d", *size, self.lynx, *_OPTIONS, url)
            self._is_started = True
        self._find("Commands:|H\\)elp", "no page")

    def press(self, text: str) -> None:
        """A link by its text; a button shows its value, or BUTTON, before its text."""
        name = re.escape(text)
        pattern = rf"\[(\d+)\]{name}|\(\[(\d+)\][^)\n]*\) {name}"
        followed, submitted = self._find(pattern, f"no link or button «{text}»").groups()
        self._go_to(followed or submitted)
        if submitted:
            # The number only moves to it.
            self._keys("Enter")

    def fill(self, label: str, value: str) -> None:
        """The field is the first one after its label; of a list the option with that text is taken."""
        pattern = rf"{re.escape(label)}[^\[]*\[(\d+)\](\[?)[^\n]*__"
        number, is_list = self._find(pattern, f"no field «{label}»").groups()
        self._go_to(number)
        self._keys("Enter")
        if is_list:
            option = rf" (\d+): \(\d+\)_*{re.escape(value)}"
            down = int(self._find(option, f"no option «{value}»").group(1)) - 1
            self._keys(*["Down"] * down, "Enter")
        else:
            self._keys("C-u")
            self._type(value, "Tab")

    def see(self, text: str, *, seconds: float = SECONDS) -> None:
        """The terminal may break the text into several lines."""
        pattern = r"\s+".join(map(re.escape, text.split()))
        self._find(pattern, f"«{text}» is not there", seconds=seconds)

    def shot(self, path: Path) -> None:
        path.with_suffix(".txt").write_text(self._screen().rstrip() + "\n", encoding="utf-8")

    def close(self) -> None:
        """The terminal is this run's own: its server ends with all that runs in it."""
        if self._is_started:
            self._tmux("kill-server")

    def _go_to(self, number: str) -> None:
        # A leading 0 begins a number always; other figures may be keys that move.
        self._type(f"0{number}", "Enter")

    def _type(self, text: str, then: str) -> None:
        self._tmux("send-keys", "-l", text)
        self._keys(then)

    def _keys(self, *keys: str) -> None:
        for key in keys:
            time.sleep(_CALM)
            self._tmux("send-keys", key)
        time.sleep(_CALM)

    def _screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-J").replace("\u00a0", " ")

    def _find(self, pattern: str, otherwise: str, *, seconds: float = SECONDS) -> "re.Match[str]":
        ends_at = time.monotonic() + seconds
        while (found := re.search(pattern, screen := self._screen())) is None:
            if time.monotonic() > ends_at:
                raise Stuck(" ".join(f"{otherwise}: {screen}".split())[:700])
            time.sleep(_CALM)
        return found

    def _tmux(self, *arguments: str) -> str:
        own = {"LC_ALL": "C.UTF-8", "TERM": "screen", "HOME": str(self.folder)}
        done = subprocess.run(
            [self.tmux, "-u", "-S", str(self.folder / "tmux"), *arguments],
            env=os.environ | own,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            check=False,
        )
        if done.returncode:
            raise Stuck(f"tmux {arguments[0]}: {done.stderr.strip()}")
        return done.stdout
