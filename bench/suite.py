"""What `bench quality` runs: benches, each of one or more calls of the command line on the folders of real data."""

import shlex
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

LONG_HISTORIES: Final = {
    "train_decays": (0.0, 0.8, 0.98),
    "train_dimensions": 128,
    "train_epochs": 6,
    "train_max_targets_a_learner": 1_000,
}
"""MovieLens: histories of hundreds of films, so an old one counts less, and there is more to tell apart; a million
targets, so fewer epochs do. Chosen on validation: each learner's last training film but one."""

TABLE_OF_LEARNERS: Final = {"train_epochs": 8, "train_negatives": 8}
"""MovieLens by `neumf_id`: eight negatives, as Rendle's tuned factors have; chosen on validation, as above."""

_STREAMED: Final = (
    "Recommend, check, learn, event by event: models of the first half of the enrolments, fitted anew every so many, "
    "the learner's state live. Every first enrolment of a learner in a course is a test (evenly spaced ones where "
    "there are fewer tests); all courses but those taken are ranked, and ties count against the model."
)


class Part(NamedTuple):
    """One call: a child process. `minutes`: about how long it takes on one core; `limit`: tests, 0: all."""

    name: str
    call: str
    minutes: float
    limit: int = 0
    settings: Mapping[str, Any] = {}

    @property
    def longest_s(self) -> float:
        """Seconds after which it is given up: much more than on a slow machine."""
        return 600.0 + 240.0 * self.minutes


class Bench(NamedTuple):
    """A section of the document. `kind`: which tables it has; `words`: what it measures, and what it does not."""

    name: str
    kind: str
    title: str
    words: str
    parts: tuple[Part, ...]


def _evaluated(folder: str, options: str, models: str) -> str:
    return f"evaluate {{data}}/{folder} {options} --models {models}"


def _of_ncf(models: str) -> str:
    return _evaluated("ncf_ml1m", "--protocol ncf", models)


def _of_mars(models: str) -> str:
    return _evaluated("mars_en", "--protocol prequential --refit 2500", models)


def _of_coco(models: str, refit: int = 20_000) -> str:
    return _evaluated("coco_a", f"--protocol prequential --refit {refit}", models)


def _of_ml1m(models: str) -> str:
    return _evaluated("ml1m_prefix_ts", "--protocol temporal", models)


def _of_noise(models: str) -> str:
    return _evaluated("seed_csv", "--protocol prequential --refit 0", models)


def _of_the_last_tenth(models: str) -> str:
    return _evaluated("mars_en", "--protocol temporal", models)


def _ablations(name: str, where: str, evaluated: str, ablated: str, minutes: float, limit: int) -> Bench:
    """Return ablations on a folder; all in one part, so that the whole models are trained once."""
    return Bench(
        name, "ablation", f"What the parts are worth: {where}",
        "The network alone and the served blend with one part left out or one setting changed, on the same tests with "
        "the same seed: the change is the variant's value minus the whole model's, paired by test, its interval by "
        "drawing learners. One that holds 0 shows no difference; another seed might.",
        (Part("all", f"{evaluated} --ablate {ablated}", minutes, limit),),
    )  # fmt: skip


SUITE: Final = (
    Bench(
        "ncf",
        "ncf",
        "MovieLens-1M, the NCF paper's split",
        "Leave-one-out: each of 6,040 learners' last film is ranked among the 99 others that were published with the "
        "split, and among all that he has not seen. Known leak: 42 % of the tests of users 1 to 2,999, whose times are "
        "known, share their second with a training film: their order is chance, and the films beside give them away. "
        "Those are `ties`; `clean` are the others of known time. Histories are sessions of rating, seldom what was "
        "watched when. `ease`, `neumf`, `hybrid`, and in print SASRec and what is ranked among all, read the order of "
        "the history; the others do not. Ridge, epochs and blend are chosen on each learner's last training film.",
        (
            Part("networks", _of_ncf("neumf,hybrid"), 24, settings=LONG_HISTORIES),
            Part("neumf_id", _of_ncf("neumf_id"), 13, settings=TABLE_OF_LEARNERS),
            Part("ials", _of_ncf("ials"), 5),
            Part("others", _of_ncf("popular,content,itemknn,svd,ease"), 4),
        ),
    ),
    Bench(
        "mars",
        "stream",
        "MARS, event by event",
        f"{_STREAMED} MARS: views of short courses of one company's e-learning; a first opening is an enrolment. No "
        "figure in print has this protocol; those of leave-one-out on MARS know the future.",
        (
            Part("networks", _of_mars("neumf,hybrid"), 4, 5_000),
            Part("neumf_id", _of_mars("neumf_id"), 2, 5_000),
            Part("ials", _of_mars("ials"), 2, 5_000),
            Part("others", _of_mars("popular,content,itemknn,svd,ease"), 2, 5_000),
        ),
    ),
    Bench(
        "coco",
        "stream",
        "COCO (Udemy), event by event",
        f"{_STREAMED} COCO: half of the learners of a crawl of Udemy, an enrolment as of its rating; 78 % of them in "
        "the last year, so most tests are of learners that the last fit did not know.",
        (
            Part("networks", _of_coco("neumf,hybrid"), 10, 5_000),
            Part("others", _of_coco("popular,content,ease,itemknn"), 6, 5_000),
        ),
    ),
    Bench(
        "ml1m",
        "stream",
        "MovieLens-1M with its times, the last tenth",
        "Models of the first nine tenths of 487,650 ratings (users 1 to 2,999), never fitted again; the learner's "
        "state is live. A control: dense histories, where films rated in the same minute say much of each other.",
        (
            Part("networks", _of_ml1m("neumf,hybrid"), 12, 2_000, LONG_HISTORIES),
            Part("others", _of_ml1m("popular,itemknn,svd,ease"), 3, 2_000),
        ),
    ),
    Bench(
        "mars_temporal",
        "temporal",
        "MARS, the last tenth",
        "Models of the first nine tenths of the enrolments, never fitted again; the learner's state is live. With one "
        "course to be found a test, recall is the hit rate, and precision at most 1 in 10. Novelty: mean bits of "
        "surprise of what is listed; similarity: mean cosine of the texts of the courses in a list.",
        (
            Part("networks", _of_the_last_tenth("neumf,hybrid"), 2),
            Part("others", _of_the_last_tenth("popular,content,itemknn,svd,ease,ials,neumf_id"), 3),
        ),
    ),
    Bench(
        "noise",
        "noise",
        "Noise: interactions drawn at random",
        "A control: who took what in this folder is uniform noise over a real catalogue: who finds more than "
        "ten courses drawn at random knows the future.",
        (Part("all", _of_noise("popular,content,ease,neumf,hybrid"), 1),),
    ),
    Bench(
        "grades_oulad",
        "grades",
        "OULAD: grades to come",
        "Every grade after the first half is predicted from what stood before it; models are fitted anew every 20,000 "
        "grades. RMSE and MAE are fractions of the scale. `known`: in assessments in which somebody had a grade at the "
        "last fit; `new`: in the others, where only their texts are known. Splits at "
        "random, as most in print are, predict the past from the future and come out lower.",
        (Part("all", "evaluate {data}/oulad --protocol grades --refit 20000", 8, 20_000),),
    ),
    Bench(
        "grades_ml1m",
        "grades",
        "MovieLens-1M: ratings to come",
        "As for OULAD, with ratings, one fit on the first half. A control: there is little text, and all is taste.",
        (Part("all", "evaluate {data}/ml1m_prefix_ts --protocol grades --refit 0", 9, 20_000),),
    ),
    Bench(
        "catalogues",
        "catalogue",
        "Catalogues: nearest courses by text",
        "Catalogues alone. A course's ten nearest are by TF-IDF of texts that the label was taken out of; the figure "
        "is the share of them that has the course's own label, beside the share of courses drawn at random.",
        (
            Part("udemy", "bench catalogue {data}/udemy_catalog", 1),
            Part("edx", "bench catalogue {data}/edx_catalog", 1),
            Part("seed", "bench catalogue {data}/seed_csv", 1),
        ),
    ),
    _ablations("ablation_mars", "MARS", _of_mars("neumf,hybrid"), "all", 8, 5_000),
    _ablations("ablation_coco", "COCO, one fit", _of_coco("hybrid", 0), "network,item_item,next,content,fit", 9, 2_500),
    Bench(
        "training",
        "training",
        "Speed of training",
        "Pairs a second of the NCF paper's network by our loop and by a plain Dataset and DataLoader, in turns of one "
        "run, one thread each; compare the ratio, not the seconds. Another bench runs beside it.",
        (Part("all", "bench training --threads 1", 2),),
    ),
)


def words_of(part: Part, data: str, limit: int = 0) -> list[str]:
    """Return the words of a part's call, with at most `limit` tests (0: as many as it has).

    >>> words_of(Part("all", "evaluate {data}/a --models popular", 1, 100), "DATA", 7)
    ['evaluate', 'DATA/a', '--models', 'popular', '--limit', '7', '--seed', '1']
    """
    words = [word.format(data=data) for word in shlex.split(part.call)]
    if words[0] != "evaluate":
        return words
    tests = min(part.limit or limit, limit or part.limit)
    return [*words, *(("--limit", str(tests)) if tests else ()), "--seed", "1"]
