"""``python -m histio``."""

import sys

from histio.cli import main

if __name__ == "__main__":
    sys.exit(main())
