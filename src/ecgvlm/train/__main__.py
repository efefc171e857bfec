"""`torchrun -m ecgvlm.train --config FILE [--resume]`, or `accelerate launch`: as `ecgvlm train`."""

from ecgvlm.show.plain import run_plainly
from ecgvlm.train.cli import app

if __name__ == "__main__":
    run_plainly(app)
