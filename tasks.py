"""What `./invoke` and plain `invoke` offer in a checkout: the product's commands, test, bench and setup."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from skywright.cli.flags import Flag, Kind, Positional, Verb
from skywright.cli.program import main

PROJECT = (
    Verb(
        "test",
        "Run every check and test: format, lint, types, import rules, pytest",
        "tests.suite",
        (Positional("rest", "words for pytest", many=True, optional=True),),
        (
            Flag("soak", "also the tests that repeat many times"),
            Flag("keyword", "only tests that match", "k", Kind.TEXT, value="EXPRESSION"),
            Flag("fast", "no engine, no checks: pytest's rings that need nothing"),
            Flag("faults", "only the fault suite, and its table (docs/reliability.md)"),
            Flag("times", "faults: so many times in a row", kind=Kind.WHOLE, value="N"),
            Flag("write", "faults: put the table into its document"),
            Flag("json", "faults: print the table as data"),
        ),
    ),
    Verb(
        "bench",
        "Measure start times, memory and recovery against their targets",
        "tests.bench.run",
        (
            Positional(
                "only",
                "names of figures; `corpus DIR`: read task files as SkyPilot does; `clouds`: examples on every cloud; "
                "`deadline`: policies on recorded spot capacity",
                many=True,
                optional=True,
            ),
        ),
        (
            Flag("rival", "also measure SkyPilot, in an environment of its own"),
            Flag("traces", "deadline: a file of recorded spot capacity", kind=Kind.TEXT, value="FILE"),
            Flag("every", "deadline: one window of so many", kind=Kind.WHOLE, value="N"),
            Flag("json", "print the result as data"),
        ),
    ),
    Verb(
        "setup",
        "Install extras of clouds into .venv",
        "tests.setup",
        (),
        (Flag("extra", "aws, gcp, azure, kubernetes or all", kind=Kind.MANY, value="NAME"),),
    ),
)

if __name__ == "__main__":
    sys.exit(main(name="./invoke", extra=PROJECT))
else:
    from skywright.cli.collection import collection

    namespace = collection(PROJECT, "invoke")
