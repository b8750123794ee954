"""Hooks of the site: README.md becomes its first page, and what pages link to outside docs/ is published with them.

So every link is one within the site, and `mkdocs build --strict` checks it and its anchor. A file is published as
repository/PATH: Markdown as a page, any other text as a page with its source.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from markdown import Extension, Markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = Path(__file__).parent.name
HOME = "README.md"
PUBLISHED = "repository"
PICTURES = {".png", ".svg"}

# Code comes first, so that what looks like a link in it stays as it is.
_CODE_OR_LINK = re.compile(
    r"^ *(?P<fence>`{3,}|~{3,}).*?^ *(?P=fence)|(?P<ticks>`+).+?(?P=ticks)|(?<=\]\()(?P<target>[^)\s#:]+)(?=[)\s#])",
    re.MULTILINE | re.DOTALL,
)


class _GitHubLists(Extension):
    """Lets two or three spaces nest what belongs to a list item, as GitHub does; Markdown's own rule is four."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802, the name is Markdown's
        md.tab_length = 2
        # The parsers took the length when they were made.
        md.build_parser()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the rule for lists before the extensions, which add to the parsers that it makes."""
    config.markdown_extensions.insert(0, _GitHubLists())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md and the files that pages link to, these too with what they link to."""
    waiting = {HOME, *(f"{DOCS}/{file.src_uri}" for file in files.documentation_pages())}
    done: set[str] = set()
    while waiting:
        path = waiting.pop()
        done.add(path)
        if path.startswith(f"{DOCS}/") and Path(path).suffix in PICTURES:
            continue  # published as it is
        text = (ROOT / path).read_text(encoding="utf-8")
        if path.endswith(".md"):
            waiting |= set(linked_files(path, text)) - done
        else:
            text = source_page(path, text)
        if not path.startswith(f"{DOCS}/"):
            files.append(File.generated(config, site_uri(path), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make each link to a file of the repository one to the page of that file."""
    here = page.file.src_uri
    path = repository_path(here)
    return replace_links(path, markdown, lambda target: posixpath.relpath(site_uri(target), posixpath.dirname(here)))


def linked_files(path: str, markdown: str) -> Iterator[str]:
    """Yield the files of the repository that the Markdown at `path` links to."""
    targets: list[str] = []

    def note(target: str) -> str:
        targets.append(target)
        return target

    replace_links(path, markdown, note)
    yield from targets


def replace_links(path: str, markdown: str, replacement: Callable[[str], str]) -> str:
    """Replace the target of each link of the Markdown at `path` that is a file of the repository.

    Any other target stays as it is, for MkDocs to judge.
    """

    def replaced(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), match["target"] or ""))
        inside = match["target"] and not target.startswith("..") and (ROOT / target).is_file()
        return replacement(target) if inside else match[0]

    return _CODE_OR_LINK.sub(replaced, markdown)


def site_uri(path: str) -> str:
    """Return where the site has the file at `path` in the repository."""
    if path == HOME:
        return "index.md"
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    return f"{PUBLISHED}/{path}" if path.endswith(".md") else f"{PUBLISHED}/{path}.md"


def repository_path(uri: str) -> str:
    """Return what `site_uri` was made from, for a page whose links count."""
    if uri == "index.md":
        return HOME
    return uri.removeprefix(f"{PUBLISHED}/") if uri.startswith(f"{PUBLISHED}/") else f"{DOCS}/{uri}"


def source_page(path: str, text: str) -> str:
    """Return a page that shows a file which is no Markdown."""
    return f"# {path}\n\n~~~~~~{Path(path).suffix.removeprefix('.')}\n{text}\n~~~~~~\n"
