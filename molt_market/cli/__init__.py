"""The command line, `molt`: each command prints what another module works out."""
