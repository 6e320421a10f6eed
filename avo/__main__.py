"""`python -m avo` is the command `avo`."""

from avo.command import main

if __name__ == "__main__":
    main()
