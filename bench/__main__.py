"""`make bench`: five measures of the dispatcher, each as a ratio or a limit of this very run.

Ends with 1 where an aim is missed. `python -m bench cd` takes two of them.
"""

import sys

from bench import place


def main(chosen: str) -> int:
    place.prepare()
    # They need the prepared environment.
    from bench import measures  # noqa: PLC0415

    missed = [figure for figure in measures.taken(chosen) if not figure.is_good]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "abcde"))
