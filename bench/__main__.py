"""Programs that run on the whole product, started as by `make run` on servers of its own.

`make bench`, `make faults`, `make walk` and `make browsers` are `python -m bench PROGRAM`.
"""

import argparse
import random
import sys
from importlib import import_module

from bench.servers import running_product


def arguments() -> argparse.Namespace:
    """What the person asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    programs = parser.add_subparsers(dest="program", required=True)
    measures = programs.add_parser("measures", help="measures of the product")
    measures.add_argument("letters", nargs="?", default="abcdefghpw", help="cd takes two of them")
    faults = programs.add_parser("faults", help="random schedules of faults, then named faults")
    faults.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    faults.add_argument("--schedules", type=int, default=300)
    faults.add_argument("--minutes", type=float, default=14, help="no schedule begins later")
    faults.add_argument("--only-random", action="store_true", help="leave the named faults out")
    only = "these faults (F3,F7), and no schedules"
    faults.add_argument("--only", metavar="F7", default="", help=only)
    faults.add_argument("--mass", type=int, default=500, help="how many cards F23 has")
    programs.add_parser("walk", help="the way of a click and of a webhook through our functions")
    programs.add_parser("browsers", help="the main journey in every engine")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    with running_product(asked.program) as harness:
        # Models are loaded only now.
        result: int = import_module(f"bench.{asked.program}").main(harness, asked)
    return result


if __name__ == "__main__":
    sys.exit(main())
