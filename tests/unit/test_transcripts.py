"""The comparison of a page's output with what was printed: numbers do not count, words and keys do."""

import json

import pytest

from tests.support.transcripts import json_difference, shape_of, text_difference


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("epoch 1/8  train loss 29.1092", "epoch 12/20 train loss 3.1e-05"),
        ("predicted: 9.5 seconds", "predicted: 1 minute and 5 seconds"),
        ("worker vm-18479-b59bd6df/0 was lost", "worker my-host.local-2-00bd6df1/1 was lost"),
        ("manifest 031ed533f14c", "manifest aa1ed5337140"),
        ("01a22a856609b8099ee76fc8  2026-11-30 03:35", "01a22a86aec9f2679e043fc0  2027-01-02 13:35"),
        ("on cpu in bf16, 794.9 MB", "on cpu in float32, 1.2 GB"),
        ("difference -0.093 [-0.607, +0.307], +7%", "difference +0.147 [+0.001, +0.258], -10%"),
    ],
)
def test_numbers_ids_and_durations_do_not_count(one: str, other: str) -> None:
    assert shape_of(one) == shape_of(other)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("queued\nrunning\n", "queued\n\nrunning\n"),
        ("...\nrunning\n", "queued\npreparing\nrunning\n"),
        ("queued\nrunning\n", "queued\n  ... queued 28%\nrunning\n"),
        ("queued\n...\n", "queued\n"),
        ("...\nepoch 1\n...\nepoch 3\n", "epoch 1\nepoch 2\nepoch 3\n"),
        ("saved ... below\n", "saved 15 files in the folder below\n"),
    ],
)
def test_the_same_words_agree(shown: str, printed: str) -> None:
    assert text_difference(shown, printed) is None


@pytest.mark.parametrize(
    ("shown", "printed", "difference"),
    [
        ("queued\nrunning\n", "queued\n", "running"),
        ("queued\n", "queued\nrunning\n", "nothing after 'queued'"),
        ("...\nfailed\n", "queued\nsucceeded\n", "failed"),
        ("one\n...\ntwo\nthree\n", "one\ntwo\n", "three"),
        ("", "a warning\n", "nothing after 'the command'"),
    ],
)
def test_other_words_differ(shown: str, printed: str, difference: str) -> None:
    assert text_difference(shown, printed) == difference


def test_json_agrees_by_keys_kinds_and_words() -> None:
    shown = {
        "id": "01a22a856609b8099ee76fc8",
        "hint": "wait 3 s...",
        "progress": 0.5,
        "files": [{"size": 1}],
        "error": None,
    }
    printed = {"id": "01a22a86aec9f2679e043fc0", "hint": "wait 4 s, or retry", "progress": 1, "files": [], "error": {}}
    assert json_difference(json.dumps(shown), json.dumps(printed)) is None
    assert json_difference(json.dumps(shown | {"...": "..."}), json.dumps(printed | {"further": 1})) is None
    assert json_difference('{"a": 1} {"b": 2}', '{"a": 3}\n{"b": 4}\n') is None


@pytest.mark.parametrize(
    ("shown", "printed", "difference"),
    [
        ('{"a": 1}', '{"a": "1"}', "$.a: number is shown, str was printed"),
        ('{"a": 1, "b": 2}', '{"a": 1}', "$: ['b'] are shown but not printed"),
        ('{"a": [{"b": 1}]}', '{"a": [{"b": 1, "c": 2}]}', "$.a[0]: ['c'] were printed but are not shown"),
        ('{"a": "queued"}', '{"a": "running"}', "$.a: 'queued' is shown, 'running' was printed"),
        ('{"a": 1}', '{"a": 1} {"a": 1}', "1 JSON documents are shown, 2 were printed"),
    ],
)
def test_json_differs_by_keys_kinds_and_words(shown: str, printed: str, difference: str) -> None:
    assert json_difference(shown, printed) == difference
