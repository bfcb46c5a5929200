"""`python -m keeper` is the command `keeper`."""

import sys

from keeper.cli import main


sys.exit(main())
