"""python -m minivit.commands: the command, where its program is not on the PATH."""

import sys

from minivit.commands import main

if __name__ == "__main__":
    sys.exit(main())
