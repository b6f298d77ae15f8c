"""Code blocks of the documentation, read out of the pages themselves."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

SHELL = ("bash", "console", "sh")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    """In the page, from 1."""
    language: str
    code: str
    section: str
    """Heading it stands under."""

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"


def blocks(page: Path, *languages: str, section: str | None = None) -> list[Block]:
    """Blocks of a page in order, of these languages (none = all), under this heading (None = any)."""
    found: list[Block] = []
    heading = ""
    tokens = MarkdownIt().parse(page.read_text())
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "inline" and before is not None and before.type == "heading_open":
            heading = token.content
        if token.type == "fence":
            assert token.map is not None
            language = token.info.split()[0] if token.info.strip() else ""
            found.append(Block(page, token.map[0] + 1, language, token.content, heading))
    of = [one for one in found if not languages or one.language in languages]
    return of if section is None else [one for one in of if one.section == section]


def commands(code: str, program: str) -> Iterator[list[str]]:
    """Arguments of each call of a program in a shell block; what pipes, redirections and ``&`` do is left out."""
    for line in _whole_lines(code.splitlines()):
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words and words[0] == program:
            yield list(_own(words[1:]))


def _own(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        if word in ("|", "&", "&&", ";", ">", ">>", "2>", "<"):
            return
        yield word


def _whole_lines(lines: Iterable[str]) -> Iterator[str]:
    """Lines with their continuations."""
    begun = ""
    for line in lines:
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        yield begun + line
        begun = ""
