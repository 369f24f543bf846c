"""``python -m causeway`` is the ``causeway`` command."""

from causeway.cli.app import main

if __name__ == "__main__":
    main()
