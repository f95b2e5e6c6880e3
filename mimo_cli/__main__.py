"""`python -m mimo_cli` is `mimo`."""

from mimo_cli.app import main

if __name__ == "__main__":
    main()
