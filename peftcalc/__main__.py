"""`python -m peftcalc`."""

import sys

from peftcalc.cli import main

if __name__ == "__main__":
    sys.exit(main())
