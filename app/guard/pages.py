"""Pages of the dashboard as the guard sees them: a browser without a key is sent to the login."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse

from app.access.headers import SECURITY_HEADERS

LOGIN = "/ui/login"


def wants_page(request: Request) -> bool:
    """Return whether a browser asks for a page to show, and not a script or a program for data."""
    path = request.scope["path"]
    is_page = path == "/" or path.startswith("/ui/")
    return is_page and request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")


def to_login(request: Request) -> RedirectResponse:
    """Return the redirect to the login, which then leads back to the page."""
    query = request.scope["query_string"].decode("latin-1")
    asked = request.scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"{LOGIN}?next={quote(asked, safe='/')}", status_code=303, headers=SECURITY_HEADERS)
