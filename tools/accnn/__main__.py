"""``python -m accnn`` is ``accnn.py``."""
import sys

from accnn.accnn import main

if __name__ == "__main__":
    sys.exit(main())
