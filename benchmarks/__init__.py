"""Figures with their goals and baselines: `make bench NAME=gas`."""
