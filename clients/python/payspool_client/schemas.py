"""The contract for other languages: JSON Schema and AsyncAPI, generated from the models.

``python -m payspool_client.schemas FOLDER`` writes them. What a JSON Schema cannot say is listed in
`UNSAID`; for all else it accepts exactly what `parse_event` accepts (a test holds them together).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from payspool_client import wire
from payspool_client.currencies import CURRENCIES
from payspool_client.events.fields import (
    BLANK_AT_AN_END,
    EVENT_ID_MAX,
    MERCHANT_MAX,
    NO_BLANK_AT_THE_ENDS,
    SOURCE_MAX,
)
from payspool_client.events.parse import EVENT_TYPES, SPEC_VERSION

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
EVENT_FILE: Final = "event.schema.json"
MESSAGE_FILE: Final = "queue-message.schema.json"
ASYNCAPI_FILE: Final = "asyncapi.json"

UNSAID: Final = (
    "An event has at most 64 KiB of UTF-8 text, and 16 levels of objects and lists.",
    "Each key is there once; NaN, Infinity and halves of surrogate pairs are not sent.",
    "An integer is written without fraction and exponent: 5.0 and 5e0 are refused.",
    "Integers in unknown fields, too, are within ±(2^53 - 1).",
    "time is a date that exists, and at most 10 minutes ahead of the receiver's clock.",
)
"""Rules of `parse_event` that a JSON Schema cannot say."""

_RFC3339: Final = "^(19[7-9][0-9]|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"


def event_schema() -> dict[str, Any]:
    """The JSON Schema of an event, with the data of every type."""
    definitions: dict[str, Any] = {
        # For all of it, unknown fields included.
        "clean": {
            "description": "No string and no key holds a NUL character.",
            "if": {"type": "string"},
            "then": {"not": {"pattern": "\\u0000"}},
            "propertyNames": {"not": {"pattern": "\\u0000"}},
            "additionalProperties": {"$ref": "#/$defs/clean"},
            "items": {"$ref": "#/$defs/clean"},
        },
        "blank_at_an_end": {"type": "string", "pattern": BLANK_AT_AN_END},
        "currency": {
            "description": "An ISO 4217 code, in any case.",
            "type": "string",
            "maxLength": 3,
            "pattern": "^(" + "|".join(map(_in_any_case, sorted(CURRENCIES))) + ")$",
        },
    }
    by_type: list[dict[str, Any]] = []
    for name, model in EVENT_TYPES.items():
        schema = _tidied(model.model_json_schema(ref_template="#/$defs/{model}"))
        definitions |= schema.pop("$defs", {})
        definitions[model.__name__] = schema
        by_type.append(
            {
                "if": {"properties": {"type": {"const": name}}},
                "then": {"properties": {"data": {"$ref": f"#/$defs/{model.__name__}"}}},
            }
        )
    return {
        "$schema": DIALECT,
        "$id": "urn:payspool:event",
        "title": "A Payspool event",
        "description": "A CloudEvents 1.0 JSON object. Not said here: " + " ".join(UNSAID),
        "type": "object",
        "required": ["specversion", "id", "source", "merchant", "type", "time", "data"],
        "properties": {
            "specversion": {"const": SPEC_VERSION},
            "id": _text(EVENT_ID_MAX, "Names the event for ever, with merchant and source."),
            "source": _text(SOURCE_MAX, "The producer's system."),
            "merchant": _text(MERCHANT_MAX, "The merchant's key; an extension attribute."),
            "type": {"enum": list(EVENT_TYPES)},
            "time": {
                "description": "When it happened (RFC 3339); it may be late and out of order.",
                "type": "string",
                "format": "date-time",
                "pattern": _RFC3339,
                "not": {"pattern": "\\s"},
            },
            "data": {"type": "object"},
        },
        "allOf": [{"$ref": "#/$defs/clean"}, *by_type],
        "$defs": definitions,
    }


def message_schema() -> dict[str, Any]:
    """The JSON Schema of a queue message, as `payspool_client.wire` writes it."""
    return {
        "$schema": DIALECT,
        "$id": "urn:payspool:queue-message",
        "title": f"A message of the queue of events, wire format v{wire.VERSION}",
        "description": (
            "Not said here: options.payspool.n is the number of texts in args[0]; a message has at "
            f"most {wire.MESSAGE_BYTES_MAX:,} bytes."
        ),
        "type": "object",
        "required": [
            "queue_name",
            "actor_name",
            "message_id",
            "message_timestamp",
            "options",
            "args",
            "kwargs",
        ],
        "properties": {
            "queue_name": {"const": wire.QUEUE},
            "actor_name": {"const": wire.ACTOR},
            "message_id": {"type": "string", "description": "A UUID; names the message in logs."},
            "message_timestamp": {
                "type": "integer",
                "minimum": 0,
                "maximum": wire.TIMESTAMP_MAX,
                "description": "When it was published, Unix time in milliseconds.",
            },
            "options": {
                "type": "object",
                "required": ["redis_message_id", "payspool"],
                "properties": {
                    "redis_message_id": {
                        "type": "string",
                        "description": "A UUID; its key in the hash and its entry in the list.",
                    },
                    "payspool": {
                        "type": "object",
                        "required": ["v", "n"],
                        "properties": {
                            "v": {"const": wire.VERSION},
                            "n": {
                                "type": "integer",
                                "minimum": 1,
                                "maximum": wire.EVENTS_PER_MESSAGE_MAX,
                            },
                        },
                    },
                },
            },
            "args": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1,
                "prefixItems": [
                    {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": wire.EVENTS_PER_MESSAGE_MAX,
                        "items": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": EVENT_FILE},
                        },
                    }
                ],
            },
            "kwargs": {"type": "object", "maxProperties": 0},
        },
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: where messages go, and how they are written there."""
    message = {"$ref": "#/components/messages/events"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Payspool",
            "version": str(wire.VERSION),
            "description": (
                "Events for Payspool, on Valkey or Redis. Publishing is one transaction: "
                "`MULTI`, `HSET payspool:events.msgs <redis_message_id> <message>`, "
                "`RPUSH payspool:events <redis_message_id>`, `EXEC`; then, on the same connection, "
                "`WAITAOF 1 0 <ms>` to be sure of the disk. Repeating it is safe: an event counts "
                "once. Stay below 70 % of `maxmemory`."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "queue": {
                "host": "localhost:6379",
                "protocol": "redis",
                "description": "Valkey or Redis, with `appendonly yes` and `noeviction`.",
            }
        },
        "channels": {
            "events": {
                "address": "{namespace}:events",
                "description": "A list of ids; the messages are in the hash `{namespace}:events.msgs`.",
                "servers": [{"$ref": "#/servers/queue"}],
                "parameters": {"namespace": {"default": wire.NAMESPACE}},
                "messages": {"events": message},
            }
        },
        "operations": {
            "receiveEvents": {
                "action": "receive",
                "channel": {"$ref": "#/channels/events"},
                "summary": "Payspool applies each event once, by its (merchant, source, id).",
                "messages": [{"$ref": "#/channels/events/messages/events"}],
            }
        },
        "components": {
            "messages": {
                "events": {
                    "name": wire.ACTOR,
                    "title": "One event or many, each as its own JSON text",
                    "contentType": "application/json",
                    "payload": {
                        "schemaFormat": "application/schema+json;version=draft-2020-12",
                        "schema": {"$ref": f"./{MESSAGE_FILE}"},
                    },
                }
            }
        },
    }


def files() -> dict[str, str]:
    """Each file's name and text."""
    documents = {
        EVENT_FILE: event_schema(),
        MESSAGE_FILE: message_schema(),
        ASYNCAPI_FILE: asyncapi(),
    }
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in documents.items()
    }


def write(folder: Path) -> None:
    """Write the files into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(longest: int, description: str) -> dict[str, Any]:
    return {
        "description": description,
        "type": "string",
        "minLength": 1,
        "maxLength": longest,
    }


def _in_any_case(code: str) -> str:
    return "".join(f"[{letter.upper()}{letter}]" for letter in code)


def _tidied(schema: Any) -> Any:
    """A schema as pydantic makes it, with our own rules in words that every validator reads alike.

    `$` matches before a last line break in some engines, so that a pattern for what must not be is
    safer than one for what must be.
    """
    if isinstance(schema, list):
        return [_tidied(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        key: _tidied(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
        and not (key == "default" and value is None)
    }
    pattern = tidy.pop("pattern", None)
    if pattern == NO_BLANK_AT_THE_ENDS:
        tidy["not"] = {"$ref": "#/$defs/blank_at_an_end"}
    elif pattern is not None:
        return {"$ref": "#/$defs/currency"}
    return tidy


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python -m payspool_client.schemas FOLDER")
    write(Path(sys.argv[1]))
