"""What refunds and lost disputes take back: cumulative and pro-rata, so that no sequence of them makes or
loses a cent.

10.00 were earned on a purchase of 30.00, of which 10.00 are given back three times:

>>> first = take_back(earned=1_000, total=3_000, refunded=0, taken=0, part=1_000)
>>> second = take_back(earned=1_000, total=3_000, refunded=1_000, taken=first, part=1_000)
>>> third = take_back(earned=1_000, total=3_000, refunded=2_000, taken=first + second, part=1_000)
>>> first, second, third, first + second + third
(333, 334, 333, 1000)

A lost dispute takes what is left, and a refund after it takes nothing more:

>>> to_take(earned=1_000, taken=333, total=3_000, refunded=1_000, whole=True)
667
>>> to_take(earned=1_000, taken=1_000, total=3_000, refunded=2_000, whole=True)
0
"""

from domain.money import pro_rata


def take_back(*, earned: int, total: int, refunded: int, taken: int, part: int) -> int:
    """What this refund of ``part`` takes from a reward; all in minor units.

    ``target = earned × (refunded + part) ÷ total`` (half to even); this one takes the target less what
    was ``taken`` before. ``total`` is the transaction's amount, ``refunded`` what was given back before.
    """
    assert 0 < part <= total - refunded, "checked by the caller"
    return to_take(
        earned=earned,
        taken=taken,
        total=total,
        refunded=refunded + part,
        whole=refunded + part == total,
    )


def to_take(*, earned: int, taken: int, total: int | None, refunded: int, whole: bool) -> int:
    """What is to be taken of a reward beyond what was ``taken``, all in minor units.

    ``refunded`` is what was given back of the transaction's ``total`` so far, this refund included;
    ``whole``: all of it was given back, or a dispute of it was lost.
    """
    if whole:
        return earned - taken
    # Nothing was bought (a total of 0) or nobody said for how much: only the whole is taken back.
    target = pro_rata(earned, part=refunded, whole=total) if total else 0
    return max(0, target - taken)
