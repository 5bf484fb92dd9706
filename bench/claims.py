"""What a bench says in one line, computed from its figures."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from bench.published import published
from reports.metrics import Metrics, models_of

Answer = Mapping[str, Any]

HYBRID: Final = "hybrid"


def claim(kind: str, bench: str, answer: Answer) -> str:
    """Return the line; nothing if the answer lacks what it is about."""
    return _CLAIMS[kind](bench, answer)


def short(value: float) -> str:
    """Return a figure as tables in print have it.

    >>> short(0.4249), short(-0.0312), short(1.204), short(0.00274)
    ('.425', '-.031', '1.20', '.0027')
    """
    if abs(value) >= 1:
        return f"{value:.2f}"
    digits = f"{value:.4f}" if 0 < abs(value) < 0.01 else f"{value:.3f}"
    return digits.replace("0.", ".", 1)


def bounded(row: Metrics, metric: str) -> str:
    """Return a figure with its interval, if it has one.

    >>> bounded({"hr@10": 0.5, "hr@10_low": 0.41, "hr@10_high": 0.6}, "hr@10")
    '.500 [.410, .600]'
    """
    if f"{metric}_low" not in row:
        return short(row[metric])
    return f"{short(row[metric])} [{short(row[f'{metric}_low'])}, {short(row[f'{metric}_high'])}]"


def _beside(models: Mapping[str, Metrics], own: str, metric: str) -> str:
    """Return how many times the best other, EASE and the popular list a model is."""
    others = {name: row[metric] for name, row in models.items() if name != own and metric in row}
    named = dict.fromkeys([*([max(others, key=lambda name: others[name])] if others else []), "ease", "popular"])
    said = [
        f"{models[own][metric] / others[name]:.2f} x `{name}` ({short(others[name])})"
        for name in named
        if others.get(name)
    ]
    return ", ".join(said)


def _own(models: Mapping[str, Metrics], metric: str) -> str:
    """Return the model that the claim is about: what is served, or the best there is."""
    return HYBRID if HYBRID in models else max(models, key=lambda name: models[name].get(metric, 0.0))


def _of_ncf(bench: str, answer: Answer) -> str:
    models = models_of(answer["models"])
    own = _own(models, "hr@10")
    row, said = models[own], []
    for among, words in (("", "99"), ("_full", "all")):
        hits, gain = f"hr@10{among}", f"ndcg@10{among}"
        beside = _beside(models, own, hits)
        said.append(
            f"HR@10 {bounded(row, hits)}, NDCG@10 {bounded(row, gain)} of {words}" + f" ({beside})" * bool(beside)
        )
    print_best = [one.metrics for one in published(bench) if one.same and one.read]
    highest = " / ".join(short(max(one[metric] for one in print_best)) for metric in ("hr@10", "ndcg@10"))
    return f"`{own}`: {'; '.join(said)}. Highest read in print on these negatives: {highest}."


def _of_stream(_bench: str, answer: Answer) -> str:
    models = models_of(answer["models"])
    own = _own(models, "recall@10")
    row = models[own]
    beside = _beside(models, own, "recall@10")
    said = f"`{own}`: recall@10 {bounded(row, 'recall@10')}, NDCG@10 {bounded(row, 'ndcg@10')}"
    return f"{said}; recall@10 is {beside}." if beside else f"{said}."


def _of_noise(_bench: str, answer: Answer) -> str:
    models, chance = models_of(answer["models"]), 10 / answer["courses"]
    ahead = [name for name, row in models.items() if row.get("recall@10_low", row["recall@10"]) > chance]
    most = max(models.values(), key=lambda row: row["recall@10"])
    said = f"Above chance: {', '.join(ahead)}" if ahead else "No model is told apart from chance"
    return f"{said}: the highest recall@10 is {bounded(most, 'recall@10')}, chance {short(chance)}."


def _of_grades(_bench: str, answer: Answer) -> str:
    models = models_of(answer["models"])
    own = "grades" if "grades" in models else min(models, key=lambda name: models[name]["rmse"])
    said = f"`{own}`: RMSE {bounded(models[own], 'rmse')}"
    others = {name: row["rmse"] for name, row in models.items() if name != own}
    gains = answer.get("gains") or {}
    if not others:
        return f"{said}."
    best = min(others, key=lambda name: others[name])
    if best not in gains:
        return f"{said}; the best other is `{best}`, {short(others[best])}."
    gain, low, high = (100 * gains[best][end] for end in ("rmse", "low", "high"))
    where = "below"
    if gain < 0:
        gain, low, high, where = -gain, -high, -low, "above"
    return f"{said}, {gain:.1f} % [{low:.1f}, {high:.1f}] {where} the best other (`{best}`, {short(others[best])})."


def _of_catalogue(_bench: str, answer: Answer) -> str:
    said = [
        f"{name}: {short(one['share'])} of the nearest share the {label}, {short(one['chance'])} by chance"
        for name, found in answer["catalogues"].items()
        for label, one in found["labels"].items()
    ]
    return "; ".join(said) + "." if said else ""


def _of_ablation(_bench: str, answer: Answer) -> str:
    rows = {name: row for name, row in models_of(answer["ablations"]).items() if "recall@10_change" in row}
    lost = sorted(rows, key=lambda name: rows[name]["recall@10_change"])
    ends = {
        name: (rows[name].get("recall@10_change_low", 0.0), rows[name].get("recall@10_change_high", 0.0))
        for name in lost
    }
    worse = [f"`{name}` {bounded(rows[name], 'recall@10_change')}" for name in lost if ends[name][1] < 0]
    better = [f"`{name}` {bounded(rows[name], 'recall@10_change')}" for name in lost if ends[name][0] > 0]
    alike = sum(low <= 0 <= high for low, high in ends.values())
    return (
        f"Worse than the whole, recall@10: {'; '.join(worse) or 'none'}. Better: {'; '.join(better) or 'none'}. "
        f"Not told apart: {alike} of {len(lost)}."
    )


def _of_training(_bench: str, answer: Answer) -> str:
    found = answer["bench"]["training"]
    return (
        f"{found['ratio']:g} x the plain loop: {found['pairs_per_s']:,.0f} against {found['plain_pairs_per_s']:,.0f} "
        f"pairs a second."
    )


_CLAIMS: Final[Mapping[str, Callable[[str, Answer], str]]] = {
    "ncf": _of_ncf, "stream": _of_stream, "temporal": _of_stream, "noise": _of_noise, "grades": _of_grades,
    "catalogue": _of_catalogue, "ablation": _of_ablation, "training": _of_training,
}  # fmt: skip
