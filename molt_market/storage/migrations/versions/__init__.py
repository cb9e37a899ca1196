"""One file for each change; a file is not changed after a release."""
