"""What a loyalty report answers, for `/openapi.json`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from web.api import answers
from web.api.answers import Responses, error, example

TOO_LARGE: Final = (
    "This report reads more rows than the API waits for. Ask for less time, or run"
    " `payspool loyalty report`, which waits longer."
)


class ReportRow(BaseModel):
    """Sums over rows of history; what the report is not divided by is left out."""

    model_config = ConfigDict(extra="forbid")

    period: date | None = Field(None, description="First day of the day, week or month.")
    program: str | None = None
    store: str | None = Field(None, description="Null: what happened in no store, as an expiry.")
    store_name: str | None = Field(None, description="As it was then.")
    type: str | None = None
    staff: str | None = Field(None, description="The staff PIN.")
    staff_name: str | None = Field(None, description="As it was then.")
    device: str | None = None
    transactions: int
    points_issued: int = Field(description="Earned, with welcome bonuses.")
    points_imported: int = Field(description="Brought from another system.")
    points_adjusted: int = Field(description="By hand; below zero where more was taken.")
    points_taken_back: int = Field(description="Of earns that were voided or refunded.")
    points_redeemed: int
    points_given_back: int = Field(description="Of redemptions that were voided.")
    points_expired: int
    points_restored: int = Field(
        description="Expired, and given back for a late proof of activity."
    )
    points_net: int = Field(description="By how much the points on cards changed.")
    stamps_issued: int
    stamps_imported: int
    stamps_adjusted: int
    stamps_voided: int
    stamps_redeemed: int
    stamps_net: int


class OwedPoints(BaseModel):
    """What a program owes now, by the ledger."""

    program: str
    name: str
    currency: str
    cost_per_1000_points: int | None = Field(
        description="Minor units; null: the program says none."
    )
    outstanding: int = Field(description="Points on cards: the liability.")
    outstanding_value: int | None = Field(description="Their value in minor units.")
    breakage: int = Field(description="Points that expired, less those restored.")
    breakage_value: int | None
    breakage_rate: int | None = Field(description="Basis points of all that was issued.")


class LoyaltyReport(BaseModel):
    """A report and what is owed now."""

    model_config = ConfigDict(populate_by_name=True)

    from_: datetime = Field(alias="from", description="The first moment that is counted.")
    until: datetime = Field(description="The first moment that is not.")
    zone: str
    rows: list[ReportRow]
    programs: list[OwedPoints]


_SUMS: Final = {
    "points_imported": 0,
    "points_adjusted": 0,
    "points_taken_back": 0,
    "points_redeemed": 100,
    "points_given_back": 0,
    "points_expired": 0,
    "points_restored": 0,
    "points_net": 79,
    "stamps_issued": 0,
    "stamps_imported": 0,
    "stamps_adjusted": 0,
    "stamps_voided": 0,
    "stamps_redeemed": 0,
    "stamps_net": 0,
}
REPORT: Final[Responses] = answers.reading(
    "loyalty:read", "per: choose among day, week, month", "per"
) | {
    200: example(
        "The report.",
        LoyaltyReport,
        {
            "from": "2026-10-31T23:00:00Z",
            "until": "2026-11-30T23:00:00Z",
            "zone": "Europe/Berlin",
            "rows": [
                {
                    "period": "2026-11-16",
                    "store": "berlin-1",
                    "store_name": "Berlin Mitte",
                    "transactions": 3,
                    "points_issued": 179,
                    **_SUMS,
                }
            ],
            "programs": [
                {
                    "program": "points",
                    "name": "Points",
                    "currency": "eur",
                    "cost_per_1000_points": 500,
                    "outstanding": 79,
                    "outstanding_value": 40,
                    "breakage": 0,
                    "breakage_value": 0,
                    "breakage_rate": 0,
                }
            ],
        },
    ),
    404: error(
        "`program_not_found`.",
        "program_not_found",
        "There is no loyalty program 'points'.",
        "program",
    ),
    422: error(
        "`invalid_request`: a parameter is wrong; `report_too_large`: it takes too long.",
        "invalid_request",
        "per: choose among day, week, month",
        "per",
    ),
}
