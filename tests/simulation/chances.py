"""What goes wrong in a simulated world, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from random import Random

_WORST = {"kill": 0.05, "message_lost": 0.3, "frozen": 0.1, "throttled": 0.1, "write_answer_lost": 0.15}


@dataclass(frozen=True, slots=True)
class Chances:
    """How often things go wrong, each from 0 to 1 for each time they could."""

    kill: float
    lost_answer_taken: float
    lost_answer_not_taken: float
    refused: float
    task_failed: float
    poll_broken: float
    broken_picture: float
    storage_broken: float
    message_doubled: float
    message_lost: float
    callback_lost: float
    callback_late: float
    callback_doubled: float
    frozen: float
    throttled: float
    write_answer_lost: float
    index_stale: float
    listed_late: float
    picture_gone: float

    @classmethod
    def drawn(cls, random: Random) -> Chances:
        """Some things go wrong often, most never: each schedule has troubles of its own."""
        return cls(
            **{
                name: _WORST.get(name, 0.4) * random.random() if random.random() < 0.4 else 0.0
                for name in cls.__dataclass_fields__
            }
        )


class Suspect(Enum):
    """What the core is known not to withstand. No schedule has any of it unless it is asked for."""

    REFUND_UNSEEN = auto()
    """A call that was counted as paid is given back: the provider fails it although its picture was there before, or
    the operator has it counted who could not see that it failed."""
    HINT_MISLEADS = auto()
    """Where callbacks are not signed, somebody who knows the URL of a job's open call names a call of another job, or
    an earlier one of the same job, whose own answer was lost."""
    HINT_OF_STALE_INDEX = auto()
    """The same of a call that another job's record has named so lately that the index does not show it yet."""
