"""Renders the templates: the Jinja environment, and the answers that have its pages."""

import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import DBAPIError

from app.database_errors import explain
from app.error_statuses import status_of
from app.finetune.errors import ConfigError, EdgefaceError
from app.guard.content_policy import PAGE_POLICY
from app.guard.pages import wants_page
from app.pages.formats import FILTERS
from app.pages.layout import Layout
from app.pages.static_files import static_address
from app.pages.words import MEANINGS

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(FILTERS)
_environment.globals.update(static=static_address, meaning_of=MEANINGS)


NAVIGATION = (("/", "Jobs"), ("/ui/datasets", "Datasets"), ("/ui/models", "Models"), ("/ui/try", "Try it"))
"""The links of the top bar."""

_HINT = "follow a link of the page instead of typing the address"


def render_page(
    request: Request, template: str, layout: Layout | None, *, status: int = 200, **values: Any
) -> Response:
    """Return the page of a template of `templates/`. `layout` is None on pages for strangers, such as the login.

    A page that is asked for again with its ETag, as an open one does by itself, is answered with 304 if it is equal.
    """
    pages = {context.path for context in iter_route_contexts(request.app.routes)}
    text = (
        _environment.get_template(template)
        .render(
            layout=layout,
            path=request.scope["path"],
            pages=pages,
            navigation=[link for link in NAVIGATION if link[0] in pages],
            **values,
        )
        .encode()
    )
    etag = f'"{hashlib.sha256(text).hexdigest()[:32]}"'
    headers = {
        "Content-Security-Policy": PAGE_POLICY,
        "ETag": etag,
        "Vary": "Accept, Cookie",
        "Referrer-Policy": "same-origin",  # with `no-referrer` a browser sends the forms of a page with `Origin: null`
    }
    if status == 200 and request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(text, status_code=status, media_type="text/html", headers=headers)


class PageRoute(APIRoute):
    """A route of a page. A browser gets its errors as a page too, a program as problem details."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_with_page(request: Request) -> Response:
            if not wants_page(request):
                return await answer(request)
            try:
                return await answer(request)
            except EdgefaceError as error:
                return _error_page(request, error)
            except RequestValidationError as error:
                fields = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
                return _error_page(request, ConfigError(f"the address has a value that is not valid: {fields}", _HINT))
            except DBAPIError as error:
                if (found := explain(error)) is None:
                    raise
                return _error_page(request, found)

        return answer_with_page


def _error_page(request: Request, error: EdgefaceError) -> Response:
    shown = request.app.state.paths.shown
    return render_page(
        request,
        "error.html.jinja",
        None,
        status=status_of(error),
        message=shown(error.message),
        hint=shown(error.hint),
        code=error.code,
    )
