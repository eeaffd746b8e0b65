"""``lrrecsys explain``: plan, run, follow, export, import, freeze and merge explanations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.data.times import UNITS
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.prompts import VARIANTS
from lrrecsys_core.terminal import say

Command = Callable[..., Any]


class _Number(click.FloatRange):
    """A number from 0 on; `min_open` refuses 0 itself."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        number = float(super().convert(value, parameter, context))
        return number if math.isfinite(number) else self.fail(f"{value} is no number", parameter, context)


ABOVE_0, FROM_0 = _Number(min=0, min_open=True), _Number(min=0)
MOST_JUDGED = 100_000  # answers of a store looked at for faults: half a minute


@click.group()
def explain() -> None:
    """Explanations from any LLM: stopped, resumed, moved and frozen without losing one."""


_dataset = click.option(
    "--data", required=True, metavar="KIND:PATH",
    help="movielens:FOLDER, tripadvisor:FOLDER, yelp:FOLDER, table:FILE?user=..&item=.., or market:movies.",
)  # fmt: skip


def _data(command: Command) -> Command:
    command = click.option(
        "--prompts", "words", default="house", show_default=True, metavar="SET",
        help="house, zero-shot, or a folder of your own.",
    )(command)  # fmt: skip
    command = click.option(
        "--variant", "variants", multiple=True, default=("full",), show_default=True,
        help=f"Repeatable: {', '.join(VARIANTS)}.",
    )(command)  # fmt: skip
    return _dataset(command)


def _llm(command: Command) -> Command:
    for option in (
        click.option("--chat-format", default="", help="template, plain or vicuna; by default the model's own."),
        click.option("--revision", default="", help="Commit of the model to pin; enters every key."),
        click.option(
            "--served-as",
            default=None,
            metavar="NAME",
            help="What the server calls the model, or the folder it is loaded from, when that differs.",
        ),
        click.option(
            "--llm",
            "llm_spec",
            required=True,
            metavar="KIND:MODEL",
            help="smollm2, gguf:FILE, endpoint:MODEL, transformers:MODEL or metadata; for batch files endpoint:MODEL.",
        ),
    ):
        command = option(command)
    return command


_go_on = click.option("--go-on", is_flag=True, help="Names stand in for profiles that lack an answer.")
_fraction = click.option(
    "--fraction", default=1.0, show_default=True, type=ABOVE_0,
    help="Share of the training records kept, as in Table 3: other histories, so other prompts.",
)  # fmt: skip
_store = click.option("--store", "path", required=True, type=click.Path(path_type=Path), help="The SQLite file.")


def _split(data: str, variants: tuple[str, ...], fraction: float) -> Split:
    from lrrecsys_core.explain.open import open_data

    for variant in variants:
        if variant not in VARIANTS:
            raise InputError(f"variant {variant!r} is unknown: choose one of {', '.join(VARIANTS)}")
    return make_split(open_data(data), train_fraction=fraction)


@explain.command()
@_data
@_fraction
@click.option(
    "--tokenizer", default="", metavar="MODEL", help="Count with its tokens rather than a quarter of letters."
)
@click.option("--price-in", default=0.0, type=FROM_0, help="Price of a million tokens read.")
@click.option("--price-out", default=0.0, type=FROM_0, help="Price of a million tokens written.")
@click.option("--rate", default=20.0, show_default=True, type=ABOVE_0, help="Answers a second.")
def plan(
    data: str, variants: tuple[str, ...], words: str, fraction: float, tokenizer: str, price_in: float,
    price_out: float, rate: float,
) -> None:  # fmt: skip
    """Count prompts, tokens, cost and hours before any call."""
    from lrrecsys_core.explain.plan import hours_told, plan_dataset
    from lrrecsys_core.explain.prompt_sets import prompt_set

    count: Callable[[str], int] | None = None
    if tokenizer:
        from transformers import AutoTokenizer

        try:
            counting = AutoTokenizer.from_pretrained(tokenizer)
        except (OSError, ValueError) as error:
            raise InputError(f"the tokenizer {tokenizer!r} cannot be loaded: give a folder with its files") from error
        count = lambda text: len(counting(text)["input_ids"])  # noqa: E731
    steps = plan_dataset(data, variants, fraction=fraction, count_tokens=count, prompts=prompt_set(words))
    say(f"{'step':<22}{'prompts':>14}{'distinct':>14}{'tokens in':>18}{'tokens out':>16}{'cost':>14}{'hours':>10}")
    total = [0.0] * 5
    for step in steps:
        cost = (step.tokens_in * price_in + step.tokens_out * price_out) / 1e6
        row = [step.distinct, step.tokens_in, step.tokens_out, cost, step.distinct / rate / 3600]
        total = [before + now for before, now in zip(total, row, strict=True)]
        say(f"{step.name:<22}{step.prompts:>14,}" + _figures(row))
    say(f"{'all':<22}{sum(step.prompts for step in steps):>14,}" + _figures(total))
    say(f"Tokens are estimates from a sample; hours at {rate:g} answers a second.")
    for line in hours_told(total[0], rate):
        say(line)


def _figures(row: list[float]) -> str:
    return f"{row[0]:>14,.0f}{row[1]:>18,.0f}{row[2]:>16,.0f}{row[3]:>14,.2f}{row[4]:>10,.1f}"


@explain.command()
@_data
@_fraction
@_llm
@_store
@click.option("--second-try", is_flag=True, help="Send answers with serious faults back once.")
@click.option("--limit", type=click.IntRange(min=1), default=None, help="Only the first so many records, for a trial.")
@_go_on
@click.option("--concurrency", type=click.IntRange(min=1), default=None, help="Endpoint: calls in flight.")
@click.option("--timeout", type=ABOVE_0, default=None, help="Endpoint: seconds for one call.")
@click.option("--batch-size", type=click.IntRange(min=1), default=None, help="transformers: prompts asked together.")
@click.option("--device", default=None, help="transformers: such as cuda.")
@click.option("--dtype", default=None, help="transformers: such as bfloat16.")
@click.option("--without-prompts", is_flag=True, help="Keep answers only: a smaller store.")
def run(
    data: str, variants: tuple[str, ...], words: str, fraction: float, llm_spec: str, revision: str, chat_format: str,
    path: Path, second_try: bool, limit: int | None, without_prompts: bool, go_on: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Ask for every text that is not stored yet; stop and start it as you like."""
    import numpy as np

    from lrrecsys_core.explain.generate import fill_records
    from lrrecsys_core.explain.open import open_llm
    from lrrecsys_core.explain.prompt_sets import prompt_set
    from lrrecsys_core.explain.store import ExplanationStore

    prompts, llm = prompt_set(words), open_llm(llm_spec, revision=revision, chat_format=chat_format, **options)
    split = _split(data, variants, fraction)
    records = None if limit is None else np.arange(min(limit, len(split.user)))
    with ExplanationStore(path, keep_requests=not without_prompts) as store:
        fill_records(split, llm, store, variants, records=records, prompts=prompts, second_try=second_try, go_on=go_on)
        _report(store.counts(), store.failures())


@explain.command("prompts")
@click.option("--from", "paper", type=click.Path(path_type=Path), help="Text of the paper, as pdftotext writes it.")
@click.option("--copy", "source", metavar="SET", help="house, zero-shot, or a folder of your own.")
@click.argument("folder", type=click.Path(path_type=Path))
def prompts_(paper: Path | None, source: str | None, folder: Path) -> None:
    """Begin a prompt set of your own in FOLDER: a copy of another, or the prompts printed in the paper (App 10.2)."""
    from lrrecsys_core.explain.paper_prompts import copy_set, cut_paper, listed

    if (paper is None) == (source is None):
        raise InputError("say where the prompts come from: --from PAPER.txt or --copy SET")
    if source is not None:
        made = copy_set(source, folder)
        say(f"{made.folder}: a copy of {source}; change it, then name it by --prompts")
    if paper is not None:
        cut = cut_paper(paper, folder)
        say(f"cut from the paper: {listed(cut.printed)}")
        say(f"taken from house, since the paper prints none: {listed(cut.taken)}")
        if cut.added:
            say(f"with the candidate added, for which the print has no place: {listed(cut.added)}")
        if cut.absent:
            say(f"not in the set, since the paper prints nothing for it: {', '.join(cut.absent)}")
        say(f"{cut.prompts.folder}: name it by --prompts")


@explain.command()
@_store
def status(path: Path) -> None:
    """Answers, failures, tokens and faults by model and template, and the reasons of failures."""
    from lrrecsys_core.explain.fault_report import store_faults, told_faults
    from lrrecsys_core.explain.store import ExplanationStore

    with ExplanationStore(path, write=False) as store:
        every = 1 + len(store) // MOST_JUDGED
        _report(store.counts(), store.failures(), told_faults(store_faults(store, every)))
        if every > 1:
            say(f"faults are those of one answer in {every}")
        if not store.keeps_requests:
            say("prompts were not kept: openings and copies of the prompt are not judged")
        if len(store.parts) > 1:
            say(f"to move this store, move all of {', '.join(part.name for part in store.parts)}")


def _report(
    counts: list[dict[str, Any]], failures: list[tuple[str, int]], faults: Mapping[tuple[str, str], str] | None = None
) -> None:
    for row in counts:
        say(
            f"{row['model']} ({row['client']}), {row['template']}: {row['answered']:,} answered, "
            f"{row['failed']:,} failed, {row['truncated']:,} cut at the token limit; "
            f"tokens {row['prompt_tokens']:,} in, {row['completion_tokens']:,} out"
        )
        if faults and (told := faults.get((row["model"], row["template"]))):
            say(f"  {told}")
    for reason, count in failures[:10]:
        say(f"  failed {count:,} times: {' '.join(reason.split())[:150]}")
    if not counts:
        say("the store is empty")


@explain.command()
@_data
@_fraction
@_llm
@_store
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="Where the shards go.")
@_go_on
@click.option("--lines", default=50_000, show_default=True, type=click.IntRange(min=1), help="Most lines in a shard.")
def export(
    data: str, variants: tuple[str, ...], words: str, fraction: float, llm_spec: str, revision: str,
    served_as: str | None, chat_format: str, path: Path, folder: Path, go_on: bool, lines: int,
) -> None:  # fmt: skip
    """Write what is not answered yet as OpenAI Batch files, which ``vllm run-batch`` reads too.

    Profiles come first: prompts about records are made from them, so import their answers and export again.
    """
    from lrrecsys_core.explain.clients.batch_files import export_batch
    from lrrecsys_core.explain.clients.endpoint import Endpoint
    from lrrecsys_core.explain.generate import all_requests
    from lrrecsys_core.explain.open import open_llm
    from lrrecsys_core.explain.prompt_sets import prompt_set
    from lrrecsys_core.explain.store import ExplanationStore

    prompts, llm = (
        prompt_set(words),
        open_llm(llm_spec, revision=revision, chat_format=chat_format, served_as=served_as),
    )
    if not isinstance(llm, Endpoint):
        raise InputError(f"batch files are for endpoints: write --llm endpoint:MODEL, not {llm_spec!r}")
    split = _split(data, variants, fraction)
    with ExplanationStore(path) as store:
        step, requests = all_requests(split, llm.model, store, variants, go_on=go_on, prompts=prompts)
        shards = export_batch(requests, llm, store, folder, lines=lines)
    for shard in shards:
        say(str(shard))
    say(f"{step}: {len(shards)} file(s)" + ("; nothing is missing" if not shards else ""))


@explain.command("import")
@_store
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def import_(path: Path, files: tuple[Path, ...]) -> None:
    """Read result and error files of a batch run, in any order, into the store they were exported from."""
    from lrrecsys_core.explain.clients.batch_files import import_batch
    from lrrecsys_core.explain.store import ExplanationStore

    with ExplanationStore(path) as store:
        report = import_batch(files, store)
    say(", ".join(f"{count:,} {name}" for name, count in vars(report).items() if name != "undecodable"))
    if report.undecodable:
        say(
            f"{report.undecodable:,} of the unreadable lines are in none of UTF-8, UTF-16 and UTF-32: convert their "
            "file, such as by iconv -f latin1 -t utf-8, and import it again"
        )


@explain.command("import-table")
@click.argument("file", type=click.Path(path_type=Path))
@_dataset
@click.option("--name", required=True, help="Who wrote the texts, as tables will say.")
@click.option("--seen", required=True, help="What the writer had read: titles, training-reviews or other-reviews.")
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="Where the texts go.")
@click.option("--user", default=None, metavar="COLUMN", help="The column of user ids, where it is not user_id.")
@click.option("--item", default=None, metavar="COLUMN", help="The column of item ids, where it is not item_id.")
@click.option("--timestamp", default=None, metavar="COLUMN", help="The column of times, where it is not timestamp.")
@click.option("--text", default=None, metavar="COLUMN", help="The column of single texts, where it is not text.")
@click.option(
    "--rating", default=None, metavar="COLUMN", help="The column of ratings that an LLM gave, for its direct row."
)
@click.option("--unit", default=None, type=click.Choice([*UNITS, "date"]), help="What times in numbers count.")
def import_texts(file: Path, data: str, name: str, seen: str, folder: Path, **options: Any) -> None:
    """Take texts that exist already, of records, items or users, from a CSV, TSV or Parquet table."""
    from lrrecsys_core.explain.given import SEEN
    from lrrecsys_core.explain.import_table import import_table, told
    from lrrecsys_core.explain.open import open_data

    for line in told(import_table(open_data(data), file, name, seen, folder, **options)):
        say(line)
    say(f"{name} (had seen: {SEEN[seen]}) is read by LRRECSYS_STORES='{name}={folder}'")


@explain.command()
@_store
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="An empty folder.")
def freeze(path: Path, folder: Path) -> None:
    """Write the store as Parquet with a manifest: what travels, and rebuilds tables without an LLM."""
    from lrrecsys_core.explain.frozen import freeze as write
    from lrrecsys_core.explain.store import ExplanationStore

    with ExplanationStore(path, write=False) as store:
        manifest = write(store, folder)
    say(f"{manifest['answered']:,} answered, {manifest['failed']:,} failed: {folder}")


@explain.command()
@_store
@click.argument("others", nargs=-1, required=True, type=click.Path(path_type=Path))
def merge(path: Path, others: tuple[Path, ...]) -> None:
    """Take the rows of OTHERS into the store; an answer already there stays."""
    from lrrecsys_core.explain.store import ExplanationStore

    with ExplanationStore(path) as store:
        say(f"{store.merge(others):,} new rows, {len(store):,} in all")
