import pytest

from molt_market.chain.networks import Network
from molt_market.errors import InvalidValue

KNOWN = [Network.LOCAL, Network.MAINNET, Network.SEPOLIA, Network.BASE_SEPOLIA, Network.ARBITRUM_SEPOLIA]


def test_known__have_their_chain_ids() -> None:
    assert [each.chain_id for each in KNOWN] == [31_337, 1, 11_155_111, 84_532, 421_614]


def test_known__only_the_local_one_has_an_address() -> None:
    """No third party is asked unless the user names it."""
    assert [each.rpc_url for each in KNOWN] == ["http://127.0.0.1:8545", None, None, None, None]


def test_known__only_on_the_local_one_to_be_mined_is_enough() -> None:
    assert [each.name for each in KNOWN if each.confirmations == 0] == ["local"]


def test_custom__is_what_it_is_given() -> None:
    network = Network.custom(7, "http://node:8545", confirmations=2)
    assert (network.chain_id, network.rpc_url, network.confirmations) == (7, "http://node:8545", 2)


@pytest.mark.parametrize("chain_id", [0, -1, True, "1"])
def test_custom__no_chain_id__is_refused(chain_id: int) -> None:
    with pytest.raises(InvalidValue):
        Network.custom(chain_id, "http://node:8545")


def test_custom__negative_confirmations__are_refused() -> None:
    with pytest.raises(InvalidValue):
        Network.custom(7, "http://node:8545", confirmations=-1)


@pytest.mark.parametrize("network", KNOWN)
def test_named__finds_every_known_network(network: Network) -> None:
    assert Network.named(network.name) is network


def test_named__chain_id__is_that_chain() -> None:
    assert Network.named("11155111") is Network.SEPOLIA
    assert Network.named("4242") == Network("chain-4242", 4242)
    with pytest.raises(InvalidValue, match="chain id 0"):
        Network.named("0")
    with pytest.raises(InvalidValue, match="or give a chain id"):
        Network.named("-1")


def test_named__unknown__lists_what_there_is() -> None:
    with pytest.raises(InvalidValue, match="no network 'sepola': choose one of local, mainnet, sepolia"):
        Network.named("sepola")
