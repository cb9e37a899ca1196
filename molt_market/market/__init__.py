"""The market as a service: signed offers and orders posted, GPUs reserved, everything told in one feed."""
