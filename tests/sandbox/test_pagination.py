"""Pages of lists: newest first, by cursor, complete in both directions."""

import pytest
import stripe


@pytest.fixture
def ids(platform, client):
    """The ids of 23 transfers, newest first."""
    platform.fund(10_000)
    payee = platform.account(client)
    made = [
        client.v1.transfers.create({"amount": n + 1, "currency": "usd", "destination": payee}).id
        for n in range(23)
    ]
    return made[::-1]


def page(client, **params):
    answer = client.v1.transfers.list(params)
    assert (answer.object, answer.url) == ("list", "/v1/transfers")
    return [t.id for t in answer.data], answer.has_more


def test_a_page_has_ten_objects_unless_told_otherwise(client, ids):
    assert page(client) == (ids[:10], True)
    assert page(client, limit=23) == (ids, False)
    assert page(client, limit=22) == (ids[:22], True)


def test_cursors_walk_down_and_up(client, ids):
    assert page(client, starting_after=ids[9], limit=10) == (ids[10:20], True)
    assert page(client, starting_after=ids[19], limit=10) == (ids[20:], False)
    assert page(client, ending_before=ids[20], limit=10) == (ids[10:20], True)
    assert page(client, ending_before=ids[5], limit=10) == (ids[:5], False)


def test_the_sdk_pages_through_all(client, ids):
    found = [t.id for t in client.v1.transfers.list({"limit": 7}).auto_paging_iter()]
    assert found == ids


@pytest.mark.parametrize("limit", [0, 101, -1, "all"])
def test_a_limit_is_from_1_to_100(client, limit):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.list({"limit": limit})
    assert (caught.value.param, caught.value.code) == ("limit", "parameter_invalid_integer")


@pytest.mark.parametrize("cursor", ["starting_after", "ending_before"])
def test_a_cursor_that_names_nothing_is_refused(platform, client, cursor):
    other = f"{platform.key}_other"
    platform.admin("POST", "/keys", {"key": other})
    strange = platform.account(platform.connect(other))
    for id in ("acct_unknown", strange):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.accounts.list({cursor: id})
        assert (caught.value.code, caught.value.param) == ("resource_missing", cursor)
