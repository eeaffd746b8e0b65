"""The prompts printed in App 10.2, cut out of the reader's own copy of the paper; this package reprints none of them.

The cutter goes by structure alone: numbered headings, "(2) Positive ..." above a prompt, markers such as [Input] and
places in braces. What it knows of the wording is the nouns of the domains.
"""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lrrecsys_core.data.domains import DOMAINS
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.prompt_sets import BUILT_IN, HOUSE, PLACES, PromptSet, prompt_set, read_settings

Kind = tuple[str, str]
"""Domain and kind of a template."""

KINDS = {"profile": "profile", "positive": "positive", "negative": "negative", "aspect": "aspects"}
"""First word of the heading above a prompt, and the kind of template it is."""

_SECTION = re.compile(r"10\.2(?:\.\d+)?\.?\s+[A-Z]")
# What may follow; a wrapped line of text, too, can begin with the number of an earlier section.
_NEXT = re.compile(r"(?:10\.(?!2\b)\d+\.?|1[1-9]\.(?:\d+\.?)?)\s+[A-Z]|(?:References|Endnotes)$")
_HEADING = re.compile(rf"\(\d\)\s+({'|'.join(KINDS)})\b[^.?{{}}\[\]]{{0,50}}", re.IGNORECASE)
_MARKER = re.compile(r"\[\s*(Instruction|Example Input|Example Output|Input|Output)\s*\]")
_BRACES = re.compile(r"\s*\{([^{}]*)\}\s*")
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "\u00ad": "-"})
_MOST_EDGE_LINES = 3  # of a page: running title, journal and number


@dataclass(frozen=True)
class Cut:
    """What came of cutting.

    Parameters
    ----------
    prompts
        The set that was written.
    printed
        Templates from the paper; the others are those of house.
    added
        Templates to which the candidate was added, for which the print has no place.
    """

    prompts: PromptSet
    printed: tuple[Kind, ...]
    added: tuple[Kind, ...]

    @property
    def absent(self) -> tuple[str, ...]:
        """Domains of which nothing is printed, and which the set lacks."""
        return tuple(domain for domain in DOMAINS if domain not in self.prompts.domains)

    @property
    def taken(self) -> frozenset[Kind]:
        """Templates that are those of house."""
        return frozenset(self.prompts.templates) - frozenset(self.printed)


def cut_paper(paper: str | Path, folder: str | Path) -> Cut:
    """Write the prompts of App 10.2 as a prompt set.

    Domains of which nothing is printed are left out; kinds that are not printed for a domain are taken from house, and
    set.toml says which.

    Parameters
    ----------
    paper
        The text of the paper, as pdftotext writes it.
    folder
        Made; its name becomes that of the set.

    Raises
    ------
    InputError
        When the text cannot be read or holds no such prompts, a prompt has a place of unknown meaning, or the folder
        exists.
    """
    place, folder = Path(paper), new_folder(folder)
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{place} cannot be read as UTF-8 text: name the paper as pdftotext writes it.") from error
    bodies = printed_prompts(text)
    if not bodies:
        raise InputError(
            f"{place} has no prompts in a section 10.2 (headings such as '(2) Positive ...'): "
            "name the text of the whole paper, as pdftotext writes it."
        )
    domains = dict.fromkeys(domain for domain, _ in bodies)
    templates = {(domain, kind): HOUSE.template(domain, kind).text for domain in domains for kind in PLACES}
    printed = {key: _as_template(body, key, place) for key, body in bodies.items()}
    added = tuple(key for key, body in printed.items() if "$candidate" in PLACES[key[1]] and "$candidate" not in body)
    for domain, kind in added:
        printed[domain, kind] += f"\nCurrent {DOMAINS[domain].noun}:\n$candidate"
    for (domain, kind), body in (templates | printed).items():
        path = folder / domain / f"{kind}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body + "\n", encoding="utf-8")
    (folder / "set.toml").write_text(_settings(templates, printed, added), encoding="utf-8")
    return Cut(prompt_set(folder), tuple(printed), added)


def copy_set(name: str | Path, folder: str | Path) -> PromptSet:
    """A copy of a prompt set in a new folder, to be changed.

    Raises
    ------
    InputError
        When there is no such set, or the folder exists.
    """
    source, folder = prompt_set(name), new_folder(folder)
    shutil.copytree(source.folder, folder)
    return prompt_set(folder)


def new_folder(folder: str | Path) -> Path:
    """The folder as given, which must not exist nor go by a built-in set's name.

    Raises
    ------
    InputError
        When it does.
    """
    if Path(folder).name in BUILT_IN:
        raise InputError(f"{folder} would bear the name of a built-in set: name another folder.")
    if Path(folder).exists():
        raise InputError(f"{folder} exists already: name a new folder.")
    return Path(folder)


def printed_prompts(text: str) -> dict[Kind, str]:
    """The prompts under section 10.2 of a paper's text, each as one running text; the first of each kind."""
    found: dict[Kind, str] = {}
    body: list[str] = []
    kind, inside = "", False
    # Words as they stand within lines: what a line's end divides tells nothing.
    words = frozenset(re.findall(r"[a-z]+", re.sub(r"\w+-\s*\n\s*\w+", " ", text).lower()))

    def close() -> None:
        whole = _joined(body, words)
        if kind and "{" in whole and (domain := _domain(whole)):
            found.setdefault((domain, kind), whole)
        body.clear()

    for line in _lines(text):
        heading = _HEADING.fullmatch(line) if inside else None
        if heading or _SECTION.match(line) or _NEXT.match(line):
            close()
            inside = bool(heading or _SECTION.match(line))
            kind = KINDS[heading[1].lower()] if heading else ""
        elif kind:
            body.append(line)
    close()
    return found


def _lines(text: str) -> list[str]:
    """Lines with words, without the running titles and numbers of pages; ligatures and quotation marks made plain."""
    pages = [
        [" ".join(line.split()) for line in unicodedata.normalize("NFKC", page).translate(_QUOTES).split("\n")]
        for page in text.split("\f")
    ]
    pages = [[line for line in page if line and not re.fullmatch(r"\d{1,4}", line)] for page in pages]
    # Heads and feet apart: the last words of two prompts may stand at the foot of a page and at the head of the next.
    heads = Counter(line for page in pages for line in {*map(_unnumbered, page[:_MOST_EDGE_LINES])})
    feet = Counter(line for page in pages for line in {*map(_unnumbered, page[-_MOST_EDGE_LINES:])})

    def runs_on(line: str, edges: Counter[str]) -> bool:  # left and right pages may differ, a first has none
        often = edges[_unnumbered(line)] >= max(2, 0.3 * len(pages))
        return often and not (_HEADING.match(line) or _MARKER.match(line) or "{" in line)

    lines: list[str] = []
    for page in pages:
        first, last = 0, len(page)
        while first < min(_MOST_EDGE_LINES, last) and runs_on(page[first], heads):
            first += 1
        while last > max(first, len(page) - _MOST_EDGE_LINES) and runs_on(page[last - 1], feet):
            last -= 1
        lines += page[first:last]
    return lines


def _unnumbered(line: str) -> str:
    return re.sub(r"\d+", "", line).strip()


def _joined(lines: list[str], words: frozenset[str]) -> str:
    """One running text; a word divided at a line's end is made whole, with its hyphen where that makes known words."""
    whole = ""
    for line in lines:
        divided = re.search(r"(\w+)-$", whole)
        if divided and line[0].islower():
            first, second = divided[1].lower(), re.split("[^a-z]", line)[0]
            hyphen = first + second not in words and {first, second} <= words
            whole = (whole if hyphen else whole[:-1]) + line
        else:
            whole += f" {line}" if whole else line
    return whole


def _domain(body: str) -> str:
    """The domain whose noun the instruction names most often; "" where it names none."""
    instruction = re.split(r"\[\s*Example", body)[0].lower()
    counts = {name: len(re.findall(rf"(?<![a-z]){domain.noun}", instruction)) for name, domain in DOMAINS.items()}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else ""


def _as_template(body: str, key: Kind, paper: Path) -> str:
    """A printed prompt as a template: a block for each marker, a line for each place and each label above one."""

    def place(braces: re.Match[str]) -> str:
        name = braces[1].replace(" ", "").replace("\\", "").lower()
        for part, ours in (("seq", "$history"), ("recommended", "$candidate"), ("item", "$item")):
            if part in name:
                return f"\n{ours}\n"
        raise InputError(f"{paper} has the place {{{braces[1]}}} in its prompt {'/'.join(key)}, which is unknown.")

    parts = _MARKER.split(body)
    # As in the input, so in the example: what introduces a text of an item stands on a line of its own.
    labels = [label.strip() for label in re.findall(r"[^{}\]]+:(?=\s*\{)", body)]
    blocks = [parts[0].strip()] if parts[0].strip() else []
    for marker, text in zip(parts[1::2], parts[2::2], strict=True):
        for label in labels if marker == "Example Input" else ():
            text = re.sub(rf"\s*{re.escape(label)}\s*", f"\n{label}\n", text)
        blocks.append(f"[{marker}]\n{_BRACES.sub(place, text).strip()}".rstrip())
    return "\n\n".join(_BRACES.sub(place, block).strip() for block in blocks)


def _settings(templates: Mapping[Kind, str], printed: Mapping[Kind, str], added: tuple[Kind, ...]) -> str:
    """The set.toml: what is whose, and house's lengths of answers for kinds that are house's in every domain."""
    about = f"Cut from the paper: {listed(printed)}. Taken from house: {listed(templates.keys() - printed.keys())}."
    if added:
        about += f" The candidate, which is not in the print, was added to: {listed(added)}."
    ours = {kind for _, kind in templates} - {kind for _, kind in printed}
    tokens = {kind: n for kind, n in read_settings(HOUSE.folder / "set.toml")["answer_tokens"].items() if kind in ours}
    return (
        "\n".join([f"about = {json.dumps(about)}", "", "[answer_tokens]", *(f"{k} = {n}" for k, n in tokens.items())])
        + "\n"
    )


def listed(keys: Collection[Kind]) -> str:
    """Templates by domain, as in "hotel (positive, negative), movie (profile)"."""
    kinds = {domain: [kind for kind in PLACES if (domain, kind) in keys] for domain in DOMAINS}
    return ", ".join(f"{domain} ({', '.join(some)})" for domain, some in kinds.items() if some)
