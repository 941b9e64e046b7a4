"""Reads what README, docs and `qmend COMMAND --help` show: commands, Python, links, paths."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qmend.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
#: All that is written by hand, but for the history.
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("data/raw", "mlruns", "docker")),
]
_PROGRAMS = {"qmend", "make", "dvc", "pip", "mlflow"}
_PIECE = re.compile(
    r"^```(?P<language>\w*)\n(?P<fenced>(?:.*\n)*?)```$"
    r"|(?P<indented>(?:^    .*\n)+)"
    r"|(?P<prose>(?:^(?!```| {4}).+\n)+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Piece:
    """A block of code, or a paragraph of prose (language ``prose``)."""

    place: str
    language: str
    text: str


@dataclass(frozen=True)
class Documented:
    """A command as it stands on a page.

    Attributes:
        place: page and line.
        inline: it stands between backquotes in a sentence, where its name may be all there is.
        comment: behind it.
    """

    place: str
    words: tuple[str, ...]
    inline: bool = False
    comment: str = ""

    @property
    def text(self) -> str:
        return shlex.join(self.words)

    @property
    def name(self) -> tuple[str, ...]:
        """The words that name the command, before its first argument."""
        words = self.words[: self.words.index("...")] if "..." in self.words else self.words
        if self.words[0] == "qmend":
            named = [c.words.split() for c in COMMANDS]
            return next((words[: len(n) + 1] for n in named if [*words[1 : len(n) + 1]] == n), ())
        end = next((k for k, word in enumerate(words) if re.search(r"^-|[/:.]", word)), len(words))
        return words[:end]

    @property
    def is_name(self) -> bool:
        """Whether a sentence names the command, without arguments of its own."""
        rest = self.words[len(self.name) :]
        if not self.name or not self.inline:
            return False
        return "..." in self.text or all(re.fullmatch(r"[A-Z]+|--\w+", word) for word in rest)


def repository_files(pattern: str = "*") -> list[Path]:
    """List the files that git has, relative to the root."""
    command = ["git", "ls-files", "-z", pattern]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(name) for name in listed.stdout.split("\0") if name]


def pieces(page: Path) -> Iterator[Piece]:
    """Yield the blocks and paragraphs of a page, in order."""
    text = page.read_text()
    for match in _PIECE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        place = f"{page.relative_to(ROOT)}:{line}"
        if match["prose"] is not None:
            yield Piece(place, "prose", match["prose"])
        else:
            yield Piece(place, match["language"] or "", match["fenced"] or match["indented"])


def page_commands(page: Path) -> Iterator[Documented]:
    """Yield the commands of a page, in order.

    Raises:
        AssertionError: if a block of commands has a line that is none.
    """
    for piece in pieces(page):
        if piece.language == "prose":
            for code in inline_code(piece):
                words = code.split()
                if len(words) > 1 and words[0] in _PROGRAMS:
                    yield from _alternatives(piece.place, words)
        elif piece.language in ("", "sh"):
            page_name, _, first = piece.place.partition(":")
            text = piece.text.replace("\\\n", "\0")
            for number, line in enumerate(text.splitlines(), int(first)):
                yield from _line(f"{page_name}:{number}", line.replace("\0", " "))


def inline_code(piece: Piece) -> list[str]:
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", piece.text)]


def _line(place: str, line: str) -> Iterator[Documented]:
    command, _, comment = re.sub(r"\s# ", "\0", line).partition("\0")
    for part in command.split(" && "):
        words = shlex.split(part)
        assert words, f"{place}: {line!r} is no command"
        assert words[0] in _PROGRAMS, f"{place}: {line!r} is no command that the tests know"
        yield Documented(place, tuple(words), comment=comment.strip())
    for named in re.findall(r"\b(?:qmend|make) [a-z]+(?: \S+\|\S+)?", comment):
        yield from _alternatives(place, named.split())


def _alternatives(place: str, words: list[str]) -> Iterator[Documented]:
    """``qmend study a|b`` names two."""
    for last in words[-1].split("|"):
        yield Documented(place, (*words[:-1], last), inline=True)


def help_examples() -> Iterator[Documented]:
    """Yield the example of each command's help."""
    for command in COMMANDS:
        yield Documented(f"qmend {command.words} --help", tuple(shlex.split(command.example)))
