"""What the demo, `payspool payees` and `payspool doctor` ask of the sandbox, over its HTTP API."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import httpx

from domain.merchants.rules import SANDBOX_KEY, WISE_SANDBOX_TOKEN

DEFAULT_KEY: Final = SANDBOX_KEY
"""The test key that a sandbox accepts from its first start."""
TIMEOUT_SECONDS: Final = 10.0


class SandboxRefused(Exception):
    """The sandbox did not do what was asked; the message is its own."""


class SandboxClient:
    """A sandbox at ``base_url``. A context manager; leaving it closes the connections."""

    def __init__(self, base_url: str, key: str = DEFAULT_KEY) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            timeout=TIMEOUT_SECONDS,
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def new_account(self, merchant: str, user_id: str, *, restricted: bool = False) -> str:
        """A connected account that can receive transfers at once; returns its ``acct_…``.

        A ``restricted`` one cannot receive any. The idempotency key makes a second call for the same user
        return the first one's account.
        """
        more = {"metadata[sandbox]": "restricted"} if restricted else {}
        answer = self._http.post(
            "/v1/accounts",
            headers={"Idempotency-Key": f"payspool/account/{merchant}/{user_id}"},
            data={
                "type": "express",
                "country": "US",
                "capabilities[transfers][requested]": "true",
                "metadata[merchant]": merchant,
                "metadata[user_id]": user_id,
                **more,
            },
        )
        account: str = self._checked(answer)["id"]
        return account

    def accounts(self, merchant: str) -> dict[str, str]:
        """Connected accounts of a merchant's users, made before: user id → account."""
        found: dict[str, str] = {}
        after: dict[str, str] = {}
        while True:
            page = self._checked(self._http.get("/v1/accounts", params={"limit": "100"} | after))
            for account in page["data"]:
                if account["metadata"].get("merchant") == merchant:
                    found[account["metadata"]["user_id"]] = account["id"]
            if not page["has_more"]:
                return found
            after = {"starting_after": page["data"][-1]["id"]}

    def plan_faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Inject these faults from now on, and no others (docs/reference/sandbox.md)."""
        self._checked(self._http.put("/_sandbox/faults", json={"rules": list(rules)}))

    def fund(self, amount: int, currency: str) -> None:
        """Put ``amount`` (minor units) on the platform's balance."""
        self._checked(
            self._http.post("/_sandbox/fund", json={"amount": amount, "currency": currency})
        )

    def wise_public_key(self) -> str:
        """The key, as PEM, by which the local Wise's webhooks are checked."""
        told: str = self._checked(self._http.get("/_sandbox/wise/public-key"))["public_key"]
        return told

    def wise_profile(self) -> tuple[int, frozenset[str]]:
        """The business profile of the local Wise's own token, and the currencies that it holds."""
        token = {"Authorization": f"Bearer {WISE_SANDBOX_TOKEN}"}
        profiles = self._http.get("/wise/v2/profiles", headers=token).json()
        profile = next(int(one["id"]) for one in profiles if one["type"] == "BUSINESS")
        path = f"/wise/v4/profiles/{profile}/balances?types=STANDARD"
        held = self._http.get(path, headers=token).json()
        return profile, frozenset(one["currency"].lower() for one in held)

    def fund_wise(self, profile: int, amount: int, currency: str) -> None:
        """Put ``amount`` (minor units) on a balance of the local Wise."""
        told = {"profile": profile, "amount": amount, "currency": currency.upper()}
        self._checked(self._http.post("/_sandbox/wise/fund", json=told))

    def balance(self) -> dict[str, int]:
        """Available balance of the platform, by currency; minor units."""
        answer = self._checked(self._http.get("/v1/balance"))
        return {entry["currency"]: entry["amount"] for entry in answer["available"]}

    def _checked(self, answer: httpx.Response) -> dict[str, Any]:
        body: dict[str, Any] = answer.json()
        if answer.status_code >= 400:
            raise SandboxRefused(body.get("error", {}).get("message", f"HTTP {answer.status_code}"))
        return body
