"""`/docs`: the OpenAPI document as one page for people, with nothing loaded from anywhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

router: Final = APIRouter(include_in_schema=False)

#: The page runs no script, and nothing outside can be asked for.
_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid #8888; margin-top: 2rem; }
h2 code { font-size: 1.1rem; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8888; border-radius: .4rem; }
td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; }
summary { cursor: pointer; }
"""


class DocumentedApp(FastAPI):
    """An application whose OpenAPI document says what its routes declare, neither more nor less.

    FastAPI leaves out of an example what is null in it, and adds a 422 of its own shape to every
    operation that has a parameter.
    """

    documented: Sequence[APIRouter] = ()

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            for router in self.documented:
                for route in router.routes:
                    if isinstance(route, APIRoute) and route.include_in_schema:
                        for method in route.methods or ():
                            operation = document["paths"][route.path_format][method.lower()]
                            _as_declared(operation["responses"], route.responses)
            for unused in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(unused, None)
            self.openapi_schema = document
        return self.openapi_schema


def _as_declared(responses: dict[str, Any], declared: dict[int | str, dict[str, Any]]) -> None:
    for status, response in declared.items():
        for kind, content in response["content"].items():
            responses[str(status)]["content"][kind]["example"] = content["example"]
    if 422 not in declared:
        responses.pop("422", None)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """The page. It tells what `/openapi.json` tells, and is made on the same thread as that, because
    the document is finished in place."""
    return HTMLResponse(page(request.app.openapi()), headers=_HEADERS)


def page(document: dict[str, Any]) -> str:
    """An OpenAPI document as HTML."""
    title = escape(document["info"]["title"])
    about = _prose(document["info"].get("description", ""))
    operations = "".join(
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title} API</h1>{about}"
        f'<p>For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{_keys(document)}{operations}</main></body></html>"
    )


def _keys(document: dict[str, Any]) -> str:
    schemes = document.get("components", {}).get("securitySchemes", {})
    return "".join(
        f"<h2>Keys</h2><p><code>Authorization: Bearer …</code>. {escape(scheme['description'])}</p>"
        for scheme in schemes.values()
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    needs_key = "<p>Needs an API key.</p>" if operation.get("security") else ""
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p><strong>{escape(operation['summary'])}.</strong></p>"
        f"{_prose(operation.get('description', ''))}{needs_key}"
        f"{_parameters(operation.get('parameters', []))}"
        f"{_request(operation.get('requestBody', {}))}{_responses(operation['responses'])}</section>"
    )


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}</td>"
        f"<td>{'required' if one.get('required') else 'optional'}</td>"
        f"<td>{escape(one.get('description', ''))}</td></tr>"
        for one in parameters
    )
    head = "<tr><th>Parameter</th><th>In</th><th></th><th></th></tr>"
    return f"<table>{head}{rows}</table>" if rows else ""


def _request(body: dict[str, Any]) -> str:
    if not body:
        return ""
    shown = "".join(
        f"<p><code>{escape(kind)}</code></p>{_pre(value)}"
        for kind, content in body["content"].items()
        for value in _examples(content)
    )
    return f"<h3>Request</h3>{_prose(body.get('description', ''))}{shown}"


def _responses(responses: dict[str, Any]) -> str:
    shown = "".join(
        f"<details><summary><strong>{escape(status)}</strong> {escape(response['description'])}"
        f"</summary>{''.join(_pre(value) for value in _all_examples(response))}</details>"
        for status, response in responses.items()
    )
    return f"<h3>Responses</h3>{shown}"


def _all_examples(response: dict[str, Any]) -> Iterator[Any]:
    for content in response.get("content", {}).values():
        yield from _examples(content)


def _examples(content: dict[str, Any]) -> Iterator[Any]:
    if "example" in content:
        yield content["example"]
    for one in content.get("examples", {}).values():
        yield one["value"]


def _pre(value: Any) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return f"<pre>{escape(shown)}</pre>"


def _prose(description: str) -> str:
    paragraphs = filter(None, (part.strip() for part in description.split("\n\n")))
    return "".join(f"<p>{escape(part)}</p>" for part in paragraphs)
