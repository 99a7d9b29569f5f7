"""Whether anybody here looks like the person asked for, judged by how alike strangers are in this gallery.

The rule: the first answer must be more alike than the most alike of as many strangers as are searched. A stated part of
the people who are not there, at most, gets past that. Whether answers agree among themselves says nothing here: in a
film the first two are most often one stranger in two neighbouring frames.
"""

from __future__ import annotations

from personsearch.search.strangers import Strangers

FALSE_ANSWERS = 0.1
"""The promise: of ten people who are not in a gallery, at most one is said to be there."""


def is_absent(likeness: float, strangers: Strangers, people: int, promise: float = FALSE_ANSWERS) -> bool | None:
    """Whether a query whose first answer has this cosine is like nobody of the `people` searched; -inf: no answer.

    None where the gallery knows too few strangers to tell.
    """
    reach = strangers.reach(people, promise)
    return None if reach is None else likeness <= reach
