"""The page that tries models, without one."""

from fastapi.testclient import TestClient

from tests.integration.pages.conftest import BROWSER, Visit


def test_it_says_where_models_come_from(visit: Visit) -> None:
    assert "There is no model to try yet." in visit("/ui/try").text
    assert 'href="/ui/try"' in visit("/").text


def test_a_form_without_photos_is_explained_on_the_page(api: TestClient) -> None:
    answer = api.post("/ui/try", headers=BROWSER, data={"model": "a"})
    assert answer.status_code == 422
    assert "multipart/form-data" in answer.text
    assert "<h1>Try it</h1>" in answer.text
