"""`python -m deploy.devnet.demo`: what `make demo` runs."""

import sys

from deploy.devnet.demo.performance import main


sys.exit(main())
