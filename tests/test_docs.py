"""What the documentation says is there: every link of README and docs/ resolves, every command line parses."""

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from filmed import ROOT

from mimo_cli import app

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PROSE = re.compile(r"\s{2,}|\s#\s|\s#$")
"""Where a line of an example goes over into words about it."""


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if page != PAGES[0]:
            assert file.resolve().is_relative_to(ROOT / "docs"), f"{target} is not part of the site"
        if anchor:
            assert anchor in anchors(file), target


def test_every_page_is_in_the_menu():
    menu = (ROOT / "docs/site/mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        name = page.relative_to(ROOT / "docs").as_posix()
        assert re.search(rf": {re.escape(name)}$", menu, re.MULTILINE), f"add {name} to nav in docs/site/mkdocs.yml"


def commands(page: Path) -> list[tuple[str, bool]]:
    """Command lines of a page, and whether each is a whole one of a block; spans in a sentence may leave things out."""
    text = page.read_text(encoding="utf-8")
    found = []
    for line in text.splitlines():
        shown = re.match(r"(?: {4,}|\t)(.*)", line)
        if shown:
            found += [(part.strip(), True) for part in re.split(r"&&|\|", PROSE.split(shown[1].strip())[0])]
    found += [(" ".join(span.split()), False) for span in re.findall(r"`(mimo [^`]+)`", text)]
    return [
        (line, whole) for line, whole in found if re.match(r"mimo [a-z]", line) and not re.search(r"\.\.\.|…", line)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_parse(page):
    for line, whole in commands(page):
        words = [word for word in shlex.split(line)[1:] if word not in ("-v", "-q", "--json", "--verbose", "--quiet")]
        assert words[0] in app.COMMANDS, line
        command = app.load(words[0])
        try:
            command.make_context(words[0], words[1:])
        except Exception as error:
            missing = type(error).__name__ == "MissingParameter" or "requires an argument" in str(error)
            stopped = type(error).__name__ in ("Exit", "NoArgsIsHelpError")
            assert stopped or (missing and not whole), f"{line}: {type(error).__name__} {error}"


def test_the_site_is_built_with_what_the_extra_installs():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(name.startswith("mkdocs>=") for name in extras["docs"])


def messages() -> list[str]:
    """Every text in the code, with … where something is filled in."""
    found = []
    for file in [*ROOT.glob("engine/**/*.py"), *ROOT.glob("mimo_cli/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_messages_of_the_page_are_those_of_the_code():
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    told = re.findall(r"\*\*(.+?)\*\*", page)
    assert len(told) > 50
    texts = messages()
    for message in told:
        words = ".*".join(re.escape(part) for part in re.split("…", message))
        assert any(re.search(words, text, re.DOTALL) for text in texts), message


def test_exit_codes_of_the_page_are_those_of_the_errors():
    from engine import errors

    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MimoError)]
    assert {kind.exit_code for kind in kinds} | {0, app._BUG, app._INTERRUPTED} == codes
