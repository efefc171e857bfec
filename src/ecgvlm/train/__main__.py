"""`torchrun -m ecgvlm.train --config FILE [--resume]` and `accelerate launch -m ecgvlm.train ...`: as `ecgvlm
train`.
"""

import sys

from ecgvlm.errors import EcgError
from ecgvlm.train.cli import app

if __name__ == "__main__":
    try:
        app()
    except EcgError as error:
        print(f"ecgvlm: {error.message}", file=sys.stderr)
        sys.exit(1)
