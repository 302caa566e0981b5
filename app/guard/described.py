"""Adds access control to the OpenAPI description: the two security schemes, and the scope of each operation."""

from typing import Any

from fastapi import FastAPI

from app.guard.authentication import SESSION_COOKIE
from app.guard.route_scopes import OPEN, SCOPES
from app.problems import PROBLEM_RESPONSES

_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key. A service without any needs none.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "The cookie that POST /session sets. Changes need the header X-CSRF-Token too.",
    },
}


def describe_access(app: FastAPI) -> None:
    """Add the security schemes, the scopes and the answers to refused callers to the description of `app`."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = describe()
            description.setdefault("components", {})["securitySchemes"] = _SCHEMES
            for path, operations in description["paths"].items():
                for method, operation in operations.items():
                    _add(operation, f"{method.upper()} {path}")
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _add(operation: dict[str, Any], name: str) -> None:
    scope = SCOPES.get(name, OPEN)
    if scope is not OPEN:
        # The scopes of a scheme that is not OAuth2 are documentation, since OpenAPI 3.1.
        operation["security"] = [{scheme: [str(scope)]} for scheme in _SCHEMES]
        operation["x-scope"] = str(scope)
    for status, response in PROBLEM_RESPONSES.items():
        operation.setdefault("responses", {}).setdefault(str(status), response)
