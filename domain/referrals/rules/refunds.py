"""What a refund takes back: cumulative and pro-rata, so that no sequence of refunds makes or loses a cent.

10.00 were earned on a purchase of 30.00, of which 10.00 are given back three times:

>>> first = take_back(earned=1_000, total=3_000, refunded=0, taken=0, part=1_000)
>>> second = take_back(earned=1_000, total=3_000, refunded=1_000, taken=first, part=1_000)
>>> third = take_back(earned=1_000, total=3_000, refunded=2_000, taken=first + second, part=1_000)
>>> first, second, third, first + second + third
(333, 334, 333, 1000)
"""

from domain.money import pro_rata


def take_back(*, earned: int, total: int, refunded: int, taken: int, part: int) -> int:
    """What this refund of ``part`` takes from a reward; all in minor units.

    ``target = earned × (refunded + part) ÷ total`` (half to even); this one takes the target less what
    was ``taken`` before. ``total`` is the transaction's amount, ``refunded`` what was given back before.
    """
    assert 0 < part <= total - refunded, "checked by the caller"
    target = (
        earned if refunded + part == total else pro_rata(earned, part=refunded + part, whole=total)
    )
    return max(0, target - taken)
