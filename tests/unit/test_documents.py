"""The pages: blocks in known languages, commands and paths that exist, links that lead somewhere, no long README."""

import ast
import json
import re
from pathlib import Path

import click
import pytest

from app.cli.service import edgeface_finetune
from app.finetune.job_kinds import KINDS
from app.main import create_app
from app.settings import Settings
from scripts.readme_picture import PICTURE, read_rates
from tests.support.documents import (
    LANGUAGES,
    REPOSITORY,
    Block,
    anchors_of,
    blocks_of,
    links_of,
    name_of,
    pages,
    prose_of,
)

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SHELL = [block for block in BLOCKS if block.language == "sh"]
FOR_USERS = [page for page in PAGES if page.parent.name not in {"notebook", "decisions"}]

_COMMAND = re.compile(
    r"""(?:^|[\s(])(\.venv/bin/)?edgeface-finetune((?:[ \t]+(?:"[^"]*"|'[^']*'|[^\s|;&)>#"'])+)+)""", re.M
)
_ENVIRONMENT = {
    "EDGEFACE_API_MEMORY",
    "EDGEFACE_DATASETS",
    "EDGEFACE_KEY",
    "EDGEFACE_REDIS_PASSWORD_FILE",
    "EDGEFACE_TEST_ASSETS",
    "EDGEFACE_URL",
    "EDGEFACE_WEIGHTS",
    "EDGEFACE_WORKER_MEMORY",
}
"""Variables that are no settings of the service: of the client, the tests and docker-compose.yml."""


def place(block: Block) -> str:
    return block.place


def commands_in(text: str) -> list[list[str]]:
    """The arguments of each call of edgeface-finetune in a shell text."""
    joined = text.replace("\\\n", " ")
    return [re.findall(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""", found[2]) for found in _COMMAND.finditer(joined)]


@pytest.mark.parametrize("block", BLOCKS, ids=place)
def test_a_block_has_a_known_language(block: Block) -> None:
    assert block.language in LANGUAGES, f"write one of {sorted(LANGUAGES)} behind the fence"
    assert block.words <= LANGUAGES[block.language]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_an_output_follows_the_block_that_prints_it(page: Path) -> None:
    blocks = blocks_of(page)
    for before, block in zip([None, *blocks], blocks, strict=False):
        assert not block.is_output or (before is not None and before.language in {"sh", "python"}), block.place


@pytest.mark.parametrize("block", SHELL, ids=place)
def test_the_commands_and_options_of_a_block_exist(block: Block) -> None:
    for arguments in commands_in(block.text):
        check_command(edgeface_finetune, arguments)


def check_command(command: click.Command, arguments: list[str]) -> None:
    """Raise AssertionError if a subcommand or an option does not exist, or if there are too many arguments."""
    context = click.Context(command)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        below = command.get_command(context, arguments[0])
        assert below is not None, f"there is no command {arguments[0]}"
        command, arguments = below, arguments[1:]
    options = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    options = {name: each for name, each in options.items() if name.startswith("-")}
    positional, rest = 0, iter(arguments)
    for argument in rest:
        name, equals, _ = argument.partition("=")
        if not name.startswith("-") or name == "-":
            positional += 1
        elif name not in {"--help", "-h", "--version"}:
            assert name in options, f"{command.name} has no option {name}"
            option = options[name]
            if isinstance(option, click.Option) and not option.is_flag and not equals:
                next(rest)
    allowed = sum(1 for each in command.params if isinstance(each, click.Argument) and each.nargs == 1)
    unlimited = any(each.nargs != 1 for each in command.params if isinstance(each, click.Argument))
    assert unlimited or positional <= allowed, f"{command.name} takes {allowed} arguments: {arguments}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("edgeface-finetune dataset shuffle faces", "no command shuffle"),
        ("X=$(.venv/bin/edgeface-finetune submit --prio 3 job.json)", "no option --prio"),
        ("edgeface-finetune serve && edgeface-finetune jobs now", "takes 0 arguments"),
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        for arguments in commands_in(text):
            check_command(edgeface_finetune, arguments)


@pytest.mark.parametrize("block", SHELL, ids=place)
def test_the_targets_and_modules_of_a_block_exist(block: Block) -> None:
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([\w-]+)", block.text, re.MULTILINE)) <= targets
    for module in re.findall(r"python -m ([\w.]+)", block.text):
        path = REPOSITORY / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file() or module.startswith("json")


@pytest.mark.parametrize("block", SHELL, ids=place)
def test_the_configs_of_a_block_have_fields_that_exist(block: Block) -> None:
    """But `epochs`, by which the README shows a refusal."""
    for config in re.findall(r"'(\{\".*?\})'\s", f"{block.text}\n"):
        fields = json.loads(config).keys() - {"epochs"}
        assert any(fields <= kind.config.model_fields.keys() for kind in KINDS.values()), config


@pytest.fixture(scope="module")
def known_paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A pattern for each path of the API."""
    api = create_app(Settings(var_dir=tmp_path_factory.mktemp("var")))
    return [re.sub(r"\{\w+\}", "[^/]+", path) for path in api.openapi()["paths"]]


@pytest.mark.parametrize("block", SHELL, ids=place)
def test_the_paths_that_curl_asks_for_exist(block: Block, known_paths: list[str]) -> None:
    for path in re.findall(r"localhost:8000(/[^\s?'\"|)]*)", block.text):
        before_parameter = path.partition("$1")[0]  # of a shell function
        assert before_parameter == "/" or any(re.fullmatch(each, before_parameter) for each in known_paths)


@pytest.mark.parametrize("page", FOR_USERS, ids=name_of)
def test_commands_are_found_in_a_fresh_clone(page: Path) -> None:
    """They are called in .venv/bin or after its activation, and no path leads out of the clone."""
    activated = False
    for block in blocks_of(page):
        if block.language != "sh":
            continue
        activated = activated or "\n. .venv/bin/activate" in f"\n{block.text}"
        for found in _COMMAND.finditer(block.text):
            assert found[1] or activated, f"{block.place}: write .venv/bin/ before {found[0].strip()}"
        assert "../" not in block.text, block.place


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for path, anchor in links_of(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)}: {path} does not exist"
        assert not anchor or anchor in anchors_of(target), f"{name_of(page)}: {path} has no heading #{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_variables_of_the_environment_exist(page: Path) -> None:
    settings = {f"EDGEFACE_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"\bEDGEFACE_[A-Z_]+\b(?!\*)", page.read_text()))
    assert named <= settings | _ENVIRONMENT


def test_pages_that_the_code_names_exist() -> None:
    for room in ("app", "worker", "benchmarks", "scripts", "tests"):
        for source in (REPOSITORY / room).rglob("*.py"):
            for page in re.findall(r"\bdocs/[\w/-]+\.md", source.read_text()):
                assert (REPOSITORY / page).is_file(), f"{source} names {page}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=place)
def test_python_blocks_are_python(block: Block) -> None:
    ast.parse(block.text)


ABBREVIATIONS = {
    "VLR": "very-low-resolution|very low resolution",
    "HR": "high-resolution|high resolution|HR is very",
    "DSR": "super-resolution",
    "AUC": "area under the ROC curve",
    "TAR": "true accept rate",
    "FAR": "false accept rate",
    "EER": "equal error rate",
    "ORL": "Olivetti Research Laboratory",
    "PSNR": "peak signal-to-noise ratio",
    "SSIM": "structural similarity",
    "SSE": "Server-Sent Events",
}


@pytest.mark.parametrize("page", [page for page in FOR_USERS if page.name != "CHANGELOG.md"], ids=name_of)
def test_abbreviations_are_spelled_out_on_each_page(page: Path) -> None:
    prose = re.sub(r"\s+", " ", re.sub(r"\]\([^)]*\)", "]", prose_of(page)))
    unknown = {short for short, words in ABBREVIATIONS.items() if re.search(rf"\b{short}\b", prose)}
    assert {short for short in unknown if not re.search(ABBREVIATIONS[short], prose, re.IGNORECASE)} == set()


def test_the_readme_is_one_page() -> None:
    assert len(prose_of(REPOSITORY / "README.md").split()) <= 900


def test_the_picture_shows_the_figures_of_the_notebook() -> None:
    """Its description in the README has the figures that the script draws."""
    before, after = read_rates("bicubic"), read_rates("recommended")
    assert {*before} == {*after} == {8, 12, 16, 24, 112}
    description = re.sub(r"\s+", " ", (REPOSITORY / "README.md").read_text().split("![")[1].split("]")[0])
    for size in (16, 12, 8):
        assert f"from {before[size].value:.2f} to {after[size].value:.2f} at {size}" in description
    assert PICTURE.is_file()


@pytest.mark.parametrize("page", [page for page in FOR_USERS if page.name in {"README.md", "tutorial.md"}], ids=name_of)
def test_what_a_page_installs_suffices_for_its_commands(page: Path) -> None:
    """`--align` needs LiteRT, which not every target installs."""
    shell = "\n".join(block.text for block in blocks_of(page) if block.language == "sh")
    for target in re.findall(r"^make install(?:-(\w+))?$", shell, re.MULTILINE):
        installed = (REPOSITORY / "requirements" / f"{target or 'worker'}.txt").read_text()
        assert "--align" not in shell or re.search(r"^ai-edge-litert==", installed, re.MULTILINE)
