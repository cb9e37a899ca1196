"""Other forms of a signature of 65 bytes: those that count as well, and those that must not."""

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def compact(signature: bytes) -> bytes:
    """Return the 64 bytes of EIP-2098: v in the highest bit of s."""
    r, s, v = signature[:32], int.from_bytes(signature[32:64], "big"), signature[64]
    return r + (s | (v - 27) << 255).to_bytes(32, "big")


def high_s(signature: bytes) -> bytes:
    """Return the other signature that the same key makes of the same digest."""
    s = _ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def with_v(signature: bytes, v: int) -> bytes:
    return signature[:64] + bytes([v])


def parts(signature: bytes) -> tuple[int, bytes, bytes]:
    """Return v, r and s, as a permit takes them."""
    return signature[64], signature[:32], signature[32:64]
