"""Every key in Redis, each with what it holds. A hash tag a shard, so all keys of a script share a slot.

`p` is the shard (the partition of `learner-events`), `g` the generation.

| key | type | what |
|---|---|---|
| `cs:{p}:g:m` | hash | meta: generation, status, nonce, applied and more; see `schemas/meta.py` |
| `cs:{p}:g:h:USER` | hash | history: course -> record (`schemas/registers.py`); the field "" is the header |
| `cs:{p}:g:f:USER` | hash | feedback: course -> register |
| `cs:{p}:g:p:USER` | hash | profile: kind (decimal) -> register |
| `cs:{p}:g:a:USER` | hash | activity, soft: see `schemas/activity.py`; expires |
| `cs:{p}:g:l:USER` | string | candidate list (`schemas/candidates.py`) |
| `cs:{p}:g:e:USER` | string | embedding (`schemas/embedding.py`) |
| `cs:{p}:g:c` | hash | counts: course + u32 day of `occurred_at` -> current enrolments |
| `cs:{p}:g:d` | sorted set | dirty: USER by the time of the mark, ms |
| `cs:{p}:g:u` | sorted set | learners: USER by last offset, most recent last |
| `cs:{p}:q:DAY` | hash | live quality, soft, outside generations: see `schemas/quality.py`; expires |
| `cs:{p}:x:EPOCH` | hash | figures of an experiment, soft, outside generations: see `schemas/experiments.py`; expires |
| `cs:{p}:x:EPOCH:m` | hash | marks of its learners: draw -> how far they are counted; expires |
| `cs:{p}:w:USER` | hash | pending writes, outside generations: course -> u64 offset + u8 rank |
| `cs:{shared}:popular` `...:trending` `...:latest` `...:cold` | hash | facet -> candidate list |
| `cs:{shared}:similar` | hash | course -> candidate list |
| `cs:{shared}:cards` | hash | course -> card (JSON) |
| `cs:{shared}:grades` | hash | `model`: the live model's grades part (`recommender/grades.py`); `epoch`: its epoch |
| `cs:{shared}:meta` | hash | what the shared keys were made from, and the nonce of their last writer |
| `cs:{shared}:replay` | string | lease: which replay builds the generation after the live one; expires |
| `cs:changed` | channel | USERs, a MessagePack list, whose candidate list or pending writes have just changed |
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

SHARED_POPULAR: Final = "cs:{shared}:popular"
SHARED_TRENDING: Final = "cs:{shared}:trending"
SHARED_LATEST: Final = "cs:{shared}:latest"
SHARED_COLD: Final = "cs:{shared}:cold"
SHARED_SIMILAR: Final = "cs:{shared}:similar"
SHARED_CARDS: Final = "cs:{shared}:cards"
SHARED_GRADES: Final = "cs:{shared}:grades"
SHARED_META: Final = "cs:{shared}:meta"
REPLAY: Final = "cs:{shared}:replay"
CHANGED: Final = "cs:changed"
"""A channel: a notice may be lost, so nothing but the moment of a look depends on it."""


@dataclass(frozen=True)
class ShardKeys:
    """The keys of one shard in one generation.

    >>> ShardKeys(3, 0).history("u1")
    'cs:{3}:0:h:u1'
    """

    shard: int
    generation: int

    @cached_property
    def prefix(self) -> str:
        """What all keys of this shard and generation begin with."""
        return f"cs:{{{self.shard}}}:{self.generation}:"

    @property
    def meta(self) -> str:
        """Key of the shard's meta."""
        return self.prefix + "m"

    @property
    def counts(self) -> str:
        """Key of current enrolments by course and day."""
        return self.prefix + "c"

    @property
    def dirty(self) -> str:
        """Key of the learners whose list is behind."""
        return self.prefix + "d"

    @property
    def learners(self) -> str:
        """Key of all learners of the shard."""
        return self.prefix + "u"

    @property
    def never(self) -> str:
        """A key that never exists: a write to it, were it there, tells whether the shard's server takes writes."""
        return self.prefix + "never"

    def history(self, user_id: str) -> str:
        """Key of a learner's history."""
        return f"{self.prefix}h:{user_id}"

    def feedback(self, user_id: str) -> str:
        """Key of a learner's feedback."""
        return f"{self.prefix}f:{user_id}"

    def profile(self, user_id: str) -> str:
        """Key of a learner's profile."""
        return f"{self.prefix}p:{user_id}"

    def activity(self, user_id: str) -> str:
        """Key of a learner's activity."""
        return f"{self.prefix}a:{user_id}"

    def candidates(self, user_id: str) -> str:
        """Key of a learner's candidate list."""
        return f"{self.prefix}l:{user_id}"

    def embedding(self, user_id: str) -> str:
        """Key of a learner's embedding."""
        return f"{self.prefix}e:{user_id}"

    def pending(self, user_id: str) -> str:
        """Key of a learner's pending writes; the same in all generations."""
        return f"cs:{{{self.shard}}}:w:{user_id}"

    def quality(self, day: int) -> str:
        """Key of the live quality of a day (UTC, days since 1970); the same in all generations."""
        return f"cs:{{{self.shard}}}:q:{day}"

    def experiment(self, epoch: int) -> str:
        """Key of the figures of the experiment that was started at this offset; the same in all generations."""
        return f"cs:{{{self.shard}}}:x:{epoch}"

    def experiment_marks(self, epoch: int) -> str:
        """Key of the marks of its learners; the same in all generations."""
        return self.experiment(epoch) + ":m"
