"""Accounts for all money of an escrow by its log alone, and writes that log out."""
