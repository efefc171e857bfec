"""`torchrun -m ecgvlm.train --config FILE [--resume]` and `accelerate launch -m ecgvlm.train ...`: as `ecgvlm
train`.
"""

import sys

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.train.cli import app

if __name__ == "__main__":
    try:
        app()
    except (EcgError, UsageError) as error:
        print(f"ecgvlm: {error}", file=sys.stderr)
        sys.exit(1)
