"""The document of all benches that are kept, as Markdown: claims, tables, figures in print, how it was measured."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from bench import tables
from bench.claims import Answer, claim
from bench.published import published
from bench.results import Result
from bench.suite import SUITE, Bench
from trainer.settings import toml_of

_HEAD: Final = """\
# Benchmarks

Made by `make benchmarks` from runs of the command line. Only the words about the protocols, and the figures in print,
which stand in `bench/published.toml` with their sources, were written by hand. Intervals in brackets are 95 %, by
drawing learners with all their tests; the best of each column is bold. One seed: what another would change is not
said. The data may not be passed on and is not in this repository; DATA stands for its folder.
"""


def document(results: Sequence[Result], suite: Iterable[Bench] = SUITE) -> str:
    """Return the document; benches without a result are named as not measured."""
    suite = tuple(suite)
    by_bench = [(bench, [one for one in results if one.bench == bench.name]) for bench in suite]
    parts = [_HEAD, machines(results)]
    missing = [bench.title for bench, own in by_bench if not own]
    if missing:
        parts.append(f"Not measured yet: {'; '.join(missing)}.\n")
    parts += [_section(bench, own) for bench, own in by_bench if own]
    return "\n".join(parts)


def machines(results: Iterable[Result]) -> str:
    """Return what the results were measured on, without the commits, which stand with each."""
    seen = {tuple((name, said) for name, said in one.machine.items() if name != "commit") for one in results}
    return "\n".join(tables.markdown(("measured on", ""), machine) + "\n" for machine in sorted(seen))


def _section(bench: Bench, results: Sequence[Result]) -> str:
    good, failed = [one for one in results if not one.error], [one for one in results if one.error]
    lines = [f"## {bench.title}\n"]
    if good:
        answer = joined(good)
        lines += [f"**{said}**\n"] if (said := claim(bench.kind, bench.name, answer)) else []
        lines += [f"{bench.words}\n", *(f"{table}\n" for table in _TABLES[bench.kind](answer) if table)]
    else:
        lines.append(f"{bench.words}\n")
    lines += [f"Failed: {one.part} (`{one.call}`): {one.error}\n" for one in failed]
    if figures := published(bench.name):
        lines.append(f"{tables.published_table(figures)}\n")
    return "\n".join([*lines, f"{_runs(results)}\n"])


def joined(results: Sequence[Result]) -> Answer:
    """Return the answers of a bench's parts as one; what several have, such as `popular` in buckets, is the same."""
    whole: dict[str, Any] = {"catalogues": {}}
    for one in results:
        for name, value in one.answer.items():
            whole[name] = _merged(whole[name], value) if isinstance(whole.get(name), dict) else value
        if "catalogue" in one.answer.get("bench", {}):
            whole["catalogues"][one.part] = one.answer["bench"]["catalogue"]
    return whole


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    both = {name: _merged(first[name], second[name]) for name in first if isinstance(second.get(name), dict)}
    return {**first, **second, **both}


def _runs(results: Sequence[Result]) -> str:
    rows = [
        (
            f"`{one.call}`" + (f" with `{'; '.join(toml_of(one.settings).splitlines())}`" if one.settings else ""),
            _tests(one.answer), f"{one.seconds:,.0f}", f"{one.moment:%Y-%m-%d}", one.machine.get("commit", ""),
        )
        for one in results
    ]  # fmt: skip
    return tables.markdown(("run", "#tests", "#seconds", "date", "commit"), rows)


def _tests(answer: Answer) -> str:
    counts = [int(row["tests"]) for row in answer.get("models", {}).values() if "tests" in row]
    return f"{max(counts):,}" if counts else "–"


def _of_ncf(answer: Answer) -> list[str]:
    return [tables.model_table(answer["models"], columns) for columns in (tables.NCF, tables.SUBSETS)]


def _of_stream(answer: Answer) -> list[str]:
    by_length = tables.bucket_table(answer["buckets"], "recall@10")
    return [tables.model_table(answer["models"], tables.STREAM), f"recall@10 by length of history:\n\n{by_length}"]


def _of_temporal(answer: Answer) -> list[str]:
    return [tables.model_table(answer["models"], columns) for columns in (tables.RANKED, tables.SHOWN)]


def _of_grades(answer: Answer) -> list[str]:
    return [tables.model_table(answer["models"], tables.GRADES)]


def _of_ablation(answer: Answer) -> list[str]:
    return [tables.model_table(answer["ablations"], tables.ABLATION)]


def _of_training(answer: Answer) -> list[str]:
    found = answer["bench"]["training"]
    return [
        tables.markdown(
            ("figure", "#value"), [(name.replace("_", " "), f"{value:,g}") for name, value in found.items()]
        )
    ]


def _of_catalogue(answer: Answer) -> list[str]:
    rows = [
        (name, label, f"{found['courses']:,}", f"{found['with_text']:,}", f"{one['courses']:,}", one["labels"],
         f"{one['share']:.3f}", f"{one['chance']:.3f}")
        for name, found in answer["catalogues"].items() for label, one in found["labels"].items()
    ]  # fmt: skip
    heads = (
        "catalogue", "label", "#courses", "#with a text", "#with the label", "#labels", "#share of the nearest",
        "#by chance",
    )  # fmt: skip
    return [tables.markdown(heads, rows)]


_TABLES: Final[Mapping[str, Callable[[Answer], list[str]]]] = {
    "ncf": _of_ncf, "stream": _of_stream, "temporal": _of_temporal, "noise": _of_stream, "grades": _of_grades,
    "catalogue": _of_catalogue, "ablation": _of_ablation, "training": _of_training,
}  # fmt: skip
