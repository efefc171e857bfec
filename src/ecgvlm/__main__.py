"""`python -m ecgvlm`, where the command is not on the path."""

from ecgvlm.cli import main

if __name__ == "__main__":
    main()
