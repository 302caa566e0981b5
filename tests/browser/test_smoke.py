"""One look at the dashboard for the fast tier: an API without a worker."""

from tests.browser.conftest import Visit
from tests.system.conftest import Machine, wait_until


def test_the_first_page_opens_in_a_browser(service: Machine, visit: Visit) -> None:
    service.start("api")
    wait_until(lambda: _answers(service), 90.0, service.log)
    tab = visit(service.url, size="narrow", dark=True)
    page = tab.open("/")
    assert page.get_by_role("heading", level=1).inner_text() == "Jobs"
    tab.check_access()
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def _answers(service: Machine) -> bool:
    import httpx2

    try:
        return httpx2.get(f"{service.url}/health/live").status_code == 200
    except httpx2.TransportError:
        return False
