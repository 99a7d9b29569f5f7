"""One way of telling progress, for whole items and for parts of them."""

from personsearch.progress import Progress, quiet


def test_items_come_through_and_are_told_before_they_are_used():
    told = []
    progress = Progress(lambda *told_now: told.append(told_now))
    seen = [(item, list(told)) for item in progress("ab", "letters", 2)]
    assert seen == [("a", [(0, 2, "letters")]), ("b", [(0, 2, "letters"), (1, 2, "letters")])]
    progress.tell(1.5, 2, "half of the last one")
    assert told[-1] == (1.5, 2, "half of the last one")
    assert list(quiet(iter("ab"), "letters", 2)) == ["a", "b"]
    assert list(progress([], "nothing", 0)) == []
