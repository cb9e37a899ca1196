"""Entry of `molt`, and of `python -m molt_market.cli`."""

from molt_market.cli.root import app


def main() -> None:
    """Run the command of this process's arguments, and exit with its code."""
    app(prog_name="molt")


if __name__ == "__main__":
    main()
