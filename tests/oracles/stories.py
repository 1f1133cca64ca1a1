"""Tiny stories for the oracle, written as the file of purchases that it reads, and what they come to."""

import csv
from pathlib import Path

from tests.oracles.cdnow import Payee, Result, calculate

Line = tuple[str, str, str] | tuple[str, str, str, int]


def play(folder: Path, *lines: Line) -> Result:
    """Calculate a story of (customer, date, dollars[, row]) after the founders ``F01`` … ``F40``.

    ``ann@3`` is a customer that founder 3 referred: she is preceded by as many others, who buy for 0.00, as
    it takes to give her the number that makes it so. Rows are no multiples of 60 unless stated.
    """
    free_rows = (row for row in range(1001, 9999) if row % 60)
    written: list[tuple[int, str, str, str]] = []
    numbers: dict[str, int] = {}

    def write(customer: str, day: str, amount: str, row: int | None = None) -> None:
        numbers.setdefault(customer, len(numbers) + 1)
        written.append((row or next(free_rows), customer, day, amount))

    for founder in range(1, 41):
        write(f"F{founder:02}", "1997-01-01", "0.00")
    for line in lines:
        founder_of = line[0].partition("@")[2]
        while founder_of and line[0] not in numbers and len(numbers) % 40 + 1 != int(founder_of):
            write(f"filler-{len(numbers)}", line[1], "0.00")
        write(*line)
    path = folder / "purchases.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("row", "customer_id", "date", "items", "amount_usd"))
        rows.writerows((row, customer, day, 1, amount) for row, customer, day, amount in written)
    return calculate(path)


def money(payee: Payee) -> tuple[int, int, int, int]:
    """Earned, reversed, paid and carried over, in cents, after making sure that they add up."""
    assert payee.earned - payee.reversed - payee.paid == payee.carried_over
    return payee.earned, payee.reversed, payee.paid, payee.carried_over


def points(result: Result, customer: str) -> tuple[int, int, int, int]:
    """Issued, redeemed, expired and the booked balance, after making sure that they add up."""
    card = result.cards[f"CD-{customer}"]
    assert card.issued - card.redeemed - card.expired == card.booked_balance
    return card.issued, card.redeemed, card.expired, card.booked_balance
