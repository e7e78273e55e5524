"""``python -m retouch``."""

from __future__ import annotations

import sys

from retouch.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
