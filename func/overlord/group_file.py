"""Read and rewrite the file of groups, `[name]` and `host = a, b; c`, leaving what others wrote as it is."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from func.errors import ConfigError

_HEADER = re.compile(r"\[(?P<name>[^\]]+)\]")
_HOST = re.compile(r"host\s*[=:]", re.IGNORECASE)
_REMARK = re.compile(r"\s*[#;]")
_GROUP_NAME = re.compile(r"[^\s\[\]@:;,#][^\[\]@:;,\x00-\x1f]*")
_HOST_GLOB = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9*?\[\]!._:-]*")


def read_groups(path: Path) -> dict[str, tuple[str, ...]]:
    """Group names in lower case to host globs; none where there is no file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ConfigError(f"{path}: the file of groups cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: byte {exc.start} is not UTF-8: save the file as UTF-8") from exc
    return parse_groups(text, str(path))


def parse_groups(text: str, source: str) -> dict[str, tuple[str, ...]]:
    """The groups a text describes; those that differ in case alone are one. Raises ConfigError."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string(text, source)
    except configparser.Error as exc:
        where = getattr(exc, "lineno", None) or next((n for n, _ in getattr(exc, "errors", ())), "?")
        raise ConfigError(f"{source}, line {where}: a group is written `[name]` and `host = a, b`") from exc
    groups: dict[str, tuple[str, ...]] = {}
    for name in parser.sections():
        hosts = groups.get(name.lower(), ()) + tuple(split_hosts(parser.get(name, "host", fallback="")))
        groups[name.lower()] = tuple(dict.fromkeys(hosts))
    return groups


def split_hosts(text: str) -> list[str]:
    """The host globs of a list whose separators are commas, semicolons, spaces or line ends."""
    return text.replace(",", " ").replace(";", " ").split()


def check_group_name(name: str) -> str:
    """The name as the file has it, in lower case; raises ConfigError for one that the file cannot hold."""
    if not _GROUP_NAME.fullmatch(name.strip()):
        raise ConfigError(f"{name!r} cannot be a group's name: leave out brackets, @ : ; , and line ends")
    return name.strip().lower()


def check_host(host: str) -> str:
    """The host glob in lower case; raises ConfigError for what is none."""
    if not _HOST_GLOB.fullmatch(host):
        raise ConfigError(f"{host!r} is no host name and no glob of one")
    return host.lower()


def with_hosts(text: str, group: str, hosts: Sequence[str]) -> str:
    """The text with exactly these hosts in a group, which is added at the end where there is none."""
    line = f"host = {', '.join(hosts)}".rstrip()
    sections = _sections(text)
    found = [section for section in sections if section.name == group]
    if not found:
        gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        return f"{text}{gap}[{group}]\n{line}\n"
    written = False
    for section in found:
        written = section.put_hosts(None if written else line) or written
    return _joined(sections)


def without_group(text: str, group: str) -> str:
    """The text without a group. What is remarked below its last line stays, for it may be about the next."""
    sections = _sections(text)
    for section in sections:
        if section.name == group:
            end = len(section.lines)
            while end > 1 and (not section.lines[end - 1].strip() or _REMARK.match(section.lines[end - 1])):
                end -= 1
            section.lines[:end] = []
    return _joined(sections)


@dataclass
class _Section:
    """The lines of a group, its header first; name "" for what stands above the first header."""

    name: str
    lines: list[str]

    def put_hosts(self, line: Optional[str]) -> bool:
        """Put this line in place of all `host` entries, or none; answers whether it was put."""
        kept: list[str] = []
        place = None
        inside = False
        for old in self.lines:
            if _HOST.match(old):
                inside = True
                place = len(kept) if place is None else place
            elif not (inside and old[:1].isspace() and old.strip() and not _REMARK.match(old)):
                inside = inside and (not old.strip() or bool(_REMARK.match(old)))
                kept.append(old)
        if line is not None:
            kept.insert(1 if place is None else place, line)
        self.lines = kept
        return line is not None


def _sections(text: str) -> list[_Section]:
    sections = [_Section("", [])]
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header:
            sections.append(_Section(header["name"].lower(), []))
        sections[-1].lines.append(line)
    return sections


def _joined(sections: Iterable[_Section]) -> str:
    lines = [line for section in sections for line in section.lines]
    return "".join(f"{line}\n" for line in lines)
