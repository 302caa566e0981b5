"""The headers of answers to requests that use former names (RFC 9745)."""

import json

from fastapi import Request, Response

from app.finetune.deprecations import DEPRECATED_AT, field_messages, query_messages


async def announce_former_names(request: Request, response: Response) -> None:
    """Dependency. Add `Deprecation` and `Link`, whose title has the current names, if the request uses former ones."""
    messages = query_messages(request.query_params.multi_items())
    if request.method == "POST":
        messages += field_messages(_fields(await request.body()))
    if messages:
        response.headers["Deprecation"] = f"@{DEPRECATED_AT.timestamp():.0f}"
        response.headers["Link"] = f'</docs>; rel="deprecation"; type="text/html"; title="{"; ".join(messages)}"'


def _fields(body: bytes) -> list[str]:
    """Return the names of the fields of a JSON object; none for what the config's validation refuses."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return []
    return list(values) if isinstance(values, dict) else []
