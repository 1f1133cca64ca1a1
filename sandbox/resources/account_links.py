"""Account links (Stripe: `/v1/account_links`): a single-use page that completes onboarding.

The sandbox's page asks for nothing: visiting it makes a restricted account active and sends the
visitor on to `return_url`, or to `refresh_url` when the link was used or is too old.
"""

from sandbox import ids
from sandbox.call import Call, Json, Route
from sandbox.params import EXPAND, Hash, Text, choice

LIFETIME_SECONDS = 300


def create(call: Call) -> Json:
    """Make a link to the sandbox's onboarding page."""
    row = call.connected(call.params["account"])
    token = ids.new_token()
    expires_at = call.now + LIFETIME_SECONDS
    call.store.insert(
        "account_links",
        token=token,
        account=row["id"],
        refresh_url=call.params.get("refresh_url"),
        return_url=call.params.get("return_url"),
        created=call.now,
        expires_at=expires_at,
    )
    return {
        "object": "account_link",
        "created": call.now,
        "expires_at": expires_at,
        "url": f"{call.base_url}/_sandbox/onboarding/{token}",
    }


_FIELDS = choice("currently_due", "eventually_due")
_CREATE = {
    "account": Text().must(),
    "collect": _FIELDS,
    "collection_options": Hash(
        spec={"fields": _FIELDS, "future_requirements": choice("include", "omit")}
    ),
    "expand": EXPAND,
    "refresh_url": Text(pattern=r"https?://\S+"),
    "return_url": Text(pattern=r"https?://\S+"),
    "type": choice("account_onboarding", "account_update").must(),
}

ROUTES = (Route("POST", "/v1/account_links", _CREATE, create, "account_link"),)
