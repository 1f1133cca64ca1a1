"""`expand`: ids in a response replaced by the objects that they name, up to four levels deep.

What can be expanded is decided by the object's kind before anything executes; objects of the other
account (a destination's payment, say) are read as that account, as Stripe does.
"""

from collections.abc import Callable, Iterable, Mapping

from sandbox.call import Call, Json
from sandbox.errors import InvalidParameter
from sandbox.params import MAX_EXPAND_DEPTH

# Kind of object -> expandable field -> kinds that its id may name.
Expandable = Mapping[str, Mapping[str, tuple[str, ...]]]
Loader = Callable[[Call, str], Json | None]

_PREFIXES = {
    "acct": "account",
    "ba": "bank_account",
    "ch": "charge",
    "po": "payout",
    "py": "charge",
    "pyr": "refund",
    "re": "refund",
    "topup": "topup",
    "tu": "topup",
    "tr": "transfer",
    "trr": "transfer_reversal",
    "txn": "balance_transaction",
}
# Fields that are always whole objects, and can be walked through on the way to an expandable one.
_CONTAINED: Mapping[str, Mapping[str, str]] = {
    "transfer": {"reversals": "transfer_reversal"},
    "charge": {"refunds": "refund"},
}


class Expander:
    """Checks and fills in `expand` for the kinds that were declared to it."""

    def __init__(self, expandable: Expandable, loaders: Mapping[str, Loader]) -> None:
        self.expandable = expandable
        self.loaders = loaders

    def check(self, paths: Iterable[str], kind: str, *, lists: bool) -> None:
        """Refuse what cannot be expanded, before the endpoint executes.

        Raises:
            InvalidParameter: a path is too deep, or its last field cannot be expanded.
        """
        for path in paths:
            fields = path.split(".")
            if len(fields) > MAX_EXPAND_DEPTH:
                message = f"You cannot expand more than {MAX_EXPAND_DEPTH} levels: {path}"
                raise InvalidParameter(message, "expand")
            if lists and fields[0] == "data":
                fields = fields[1:]
            elif lists:
                fields = ["data (prefix it)"]
            if not fields or not self._walk(fields, (kind,)):
                message = f"This property cannot be expanded ({path})."
                raise InvalidParameter(message, "expand")

    def _walk(self, fields: list[str], kinds: tuple[str, ...]) -> bool:
        if not fields:
            return True
        head, rest = fields[0], fields[1:]
        for kind in kinds:
            if head in self.expandable.get(kind, {}):
                return self._walk(rest, self.expandable[kind][head])
            inner = _CONTAINED.get(kind, {}).get(head)
            if inner is not None and rest[:1] == ["data"]:
                return self._walk(rest[1:], (inner,))
        return False

    def apply(self, call: Call, body: Json) -> None:
        """Replace the ids that `expand` names in a response, in place."""
        for path in call.params.get("expand", []):
            self._expand(call, body, path.split("."))

    def _expand(self, call: Call, value: object, fields: list[str]) -> None:
        if isinstance(value, list):
            for item in value:
                self._expand(call, item, fields)
            return
        if not isinstance(value, dict) or not fields:
            return
        head, rest = fields[0], fields[1:]
        named = value.get(head)
        if isinstance(named, str):
            loaded = self._load(call, named)
            if loaded is not None:
                value[head] = loaded
        elif named is None and head == "refunds" and value.get("object") == "charge":
            value[head] = self._load(call, f"refunds/{value['id']}")
        self._expand(call, value.get(head), rest)

    def _load(self, call: Call, id: str) -> Json | None:
        kind = id.partition("/")[0] if "/" in id else _PREFIXES.get(id.partition("_")[0], "")
        loader = self.loaders.get(kind)
        return loader(call, id.partition("/")[2] or id) if loader else None
