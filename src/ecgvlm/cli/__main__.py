"""python -m ecgvlm.cli"""

from ecgvlm.cli import main

main()
