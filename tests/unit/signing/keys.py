"""The public keys of Anvil's test accounts, by role. Never use them for money."""

from molt_market.signing.signers import LocalSigner

PROVIDER_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
BUYER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
AGENT_KEY = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
ATTESTOR_KEYS = (
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
)
STRANGER_KEY = "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e"

PROVIDER = LocalSigner.from_key(PROVIDER_KEY)
BUYER = LocalSigner.from_key(BUYER_KEY)
AGENT = LocalSigner.from_key(AGENT_KEY)
ATTESTORS = tuple(
    sorted(map(LocalSigner.from_key, ATTESTOR_KEYS), key=lambda signer: signer.address.number())
)
STRANGER = LocalSigner.from_key(STRANGER_KEY)
