"""Lynx on a terminal of its own: what a person sees and types who has only text."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.browsers.drivers import Stuck

_ROWS, _COLUMNS = 300, 120  # high enough for every page: nothing has to be scrolled
_OPTIONS = (
    *("-accept_all_cookies", "-nopause", "-number_fields", "-tna"),
    *("-display_charset=utf-8", "-assume_charset=utf-8"),
)
_CALM = 0.3  # seconds between keys and the next look


@dataclass
class Text:
    """Links, fields and buttons are reached by the numbers that lynx shows before them."""

    tmux: str
    lynx: str
    folder: Path
    deadline: float = 0.0
    complaints: list[str] = field(default_factory=list)
    _lives: bool = False

    def version(self) -> str:
        done = subprocess.run([self.lynx, "-version"], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[0].split("(")[0].strip()

    def open(self, url: str) -> None:
        """The first address starts lynx; later ones are typed into it, so that cookies stay."""
        if self._lives:
            self._keys("g")
            self._keys("C-u")
            self._type(url)
            self._keys("Enter")
        else:
            size = ("-x", str(_COLUMNS), "-y", str(_ROWS))
            self._tmux("-f", "/dev/null", "new-session", "-d", *size, self.lynx, *_OPTIONS, url)
            self._lives = True
        self._wait(lambda screen: "Commands:" in screen or "H)elp" in screen, "no page", 15)

    def press(self, text: str) -> None:
        words = re.escape(text)
        # A button shows its value, or BUTTON, before its words.
        link = re.compile(rf"\[(\d+)\]{words}|\(\[(\d+)\][^)\n]*\) {words}")
        self._wait(lambda screen: bool(link.search(screen)), f"no link or button «{text}»", 15)
        found = link.search(self._screen())
        assert found is not None
        followed, submitted = found.groups()
        self._go_to(followed or submitted)
        if submitted:
            # The number only moves to it.
            self._keys("Enter")
        time.sleep(_CALM)

    def fill(self, label: str, value: str) -> None:
        """The field is the first one after its label; of a list the line with that text is taken."""
        near = re.compile(rf"{re.escape(label)}[^\[]*\[(\d+)\](\[?)[^\n]*__")
        self._wait(lambda screen: bool(near.search(screen)), f"no field «{label}»", 15)
        found = near.search(self._screen())
        assert found is not None
        number, is_list = found.groups()
        self._go_to(number)
        self._keys("Enter")
        if is_list:
            self._choose(value)
        else:
            self._keys("C-u")
            self._type(value)
            self._keys("Tab")

    def see(self, text: str, *, seconds: float = 15) -> None:
        self._wait(
            lambda screen: text in " ".join(screen.split()), f"«{text}» is not there", seconds
        )

    def shot(self, path: Path) -> None:
        path.with_suffix(".txt").write_text(self._screen().rstrip() + "\n", encoding="utf-8")

    def close(self) -> None:
        """The terminal is this run's own: its server ends with all that runs in it."""
        if self._lives:
            self._tmux("kill-server")
            self._lives = False

    def _choose(self, value: str) -> None:
        line = re.compile(rf" (\d+): \(\d+\)_*{re.escape(value)}")
        self._wait(lambda screen: bool(line.search(screen)), f"no line «{value}»", 5)
        found = line.search(self._screen())
        assert found is not None
        for _ in range(int(found.group(1)) - 1):
            self._keys("Down")
        self._keys("Enter")

    def _go_to(self, number: str) -> None:
        # A leading 0 begins a number always; other figures may be keys that move.
        self._type(f"0{number}")
        self._keys("Enter")

    def _type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)
        time.sleep(_CALM)

    def _keys(self, key: str) -> None:
        self._tmux("send-keys", key)
        time.sleep(_CALM)

    def _screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-J").replace("\u00a0", " ")

    def _wait(self, good: Callable[[str], bool], otherwise: str, seconds: float) -> None:
        end = min(time.monotonic() + seconds, self.deadline)
        while not good(screen := self._screen()):
            if time.monotonic() > end:
                raise Stuck(" ".join(f"{otherwise}: {screen}".split())[:700])
            time.sleep(_CALM)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.tmux, "-u", "-S", str(self.folder / "tmux"), *arguments],
            env=dict(os.environ)
            | {"LC_ALL": "C.UTF-8", "TERM": "screen", "HOME": str(self.folder)},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            check=False,
        )
        if done.returncode:
            raise Stuck(f"tmux {arguments[0]}: {done.stderr.strip()}")
        return done.stdout
