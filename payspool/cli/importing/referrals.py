"""Programs, codes and conversions of referrals out of another system's files."""

from collections.abc import Sequence

from domain.db import Tx
from domain.errors import DomainError, Invalid
from domain.inbox import service as inbox
from domain.merchants.service import Merchant
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms
from domain.referrals.rules import importing as rules
from payspool.cli import session
from payspool.cli.importing.files import Line, Shape
from payspool.cli.importing.running import DryRun, File, Rejects, app, read, run
from payspool.cli.session import AsJson, MerchantKey

_PROGRAMS = Shape(rules.PROGRAM_COLUMNS, "referrals.imported")
_CODES = Shape(rules.CODE_COLUMNS, "referrals.imported")
_CONVERSIONS = Shape(rules.CONVERSION_COLUMNS, "referrals.imported")


@app.command(epilog="Example: payspool import programs acme programs.csv --dry-run")
def programs(
    merchant: MerchantKey,
    file: File,
    dry_run: DryRun = False,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Import programs. A key that is there already with the same terms is known; with others, refused."""
    run(merchant, file, _PROGRAMS, _take_programs, dry_run, rejects, as_json)


@app.command(epilog="Example: payspool import codes acme codes.csv --dry-run")
def codes(
    merchant: MerchantKey,
    file: File,
    dry_run: DryRun = False,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Import codes with their owners. They keep their spelling, and need no check character."""
    run(merchant, file, _CODES, _take_codes, dry_run, rejects, as_json)


@app.command(epilog="Example: payspool import conversions acme history.csv --dry-run")
def conversions(
    merchant: MerchantKey,
    file: File,
    dry_run: DryRun = False,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Import conversions with what they earned then. Those with a paid_reference are not paid again."""

    def take(tx: Tx, found: Merchant, lines: Sequence[Line]) -> None:
        _take_conversions(tx, found, lines, dry_run=dry_run)

    run(merchant, file, _CONVERSIONS, take, dry_run, rejects, as_json)


def _take_programs(tx: Tx, merchant: Merchant, lines: Sequence[Line]) -> None:
    for line in lines:
        said = read(line, rules.read_program)
        if said is None:
            continue
        key, name = said.pop("key"), said.pop("name")
        terms = Terms(**said)
        there = admin.terms_of(tx, merchant.id, key)
        if there is not None:
            if there == terms:
                line.status = "known"
            else:
                line.refuse("already_exists", f"the program {key!r} is there with other terms")
            continue
        try:
            with tx.begin_nested():
                admin.create_program(tx, merchant.id, key, name, terms, actor=session.me())
        except DomainError as error:
            line.refuse("invalid", str(error))
        else:
            line.status = "new"


def _take_codes(tx: Tx, merchant: Merchant, lines: Sequence[Line]) -> None:
    by_program: dict[str, list[tuple[Line, NewCode]]] = {}
    for line in lines:
        said = read(line, rules.read_code)
        if said is not None:
            program = said.pop("program")
            by_program.setdefault(program, []).append((line, NewCode(**said)))
    for program, wanted in by_program.items():
        try:
            admin.found_program(tx, merchant.id, program)
        except DomainError as error:
            for line, _ in wanted:
                line.refuse("program_not_found", str(error))
            continue
        _take_codes_of(tx, merchant, program, wanted)


def _take_codes_of(
    tx: Tx, merchant: Merchant, program: str, wanted: Sequence[tuple[Line, NewCode]]
) -> None:
    there = admin.owners_of(tx, merchant.id, [new.code or "" for _, new in wanted])
    fresh: list[tuple[Line, NewCode]] = []
    for line, new in wanted:
        try:
            admin.check_code(new)
        except Invalid as error:
            line.refuse("invalid", str(error))
            continue
        owner = there.get(new.code or "")
        if owner is None:
            there[new.code or ""] = (program, new.user_id)
            fresh.append((line, new))
        elif owner == (program, new.user_id):
            line.status = "known"
        else:
            line.refuse("already_exists", f"the code {new.code} is {owner[1]}'s in {owner[0]!r}")
    # All at once where nothing is wrong, one by one to find what is.
    if fresh and not _made(tx, merchant, program, fresh) and len(fresh) > 1:
        for one in fresh:
            _made(tx, merchant, program, [one])
    for line, _ in fresh:
        line.status = line.status or "new"


def _made(tx: Tx, merchant: Merchant, program: str, wanted: Sequence[tuple[Line, NewCode]]) -> bool:
    try:
        with tx.begin_nested():
            admin.create_codes(
                tx, merchant.id, program, [new for _, new in wanted], actor=session.me()
            )
    except DomainError as error:
        if len(wanted) == 1:
            wanted[0][0].refuse("invalid", str(error))
        return False
    return True


def _take_conversions(tx: Tx, merchant: Merchant, lines: Sequence[Line], *, dry_run: bool) -> None:
    said = [(line, past) for line in lines if (past := read(line, rules.read_conversion))]
    outcomes = inbox.import_conversions(
        tx, merchant.id, merchant.key, [past for _, past in said], dry_run=dry_run
    )
    for (line, _), outcome in zip(said, outcomes, strict=True):
        if outcome.status in ("applied", "duplicate"):
            line.status = "new" if outcome.status == "applied" else "known"
        else:
            line.refuse(outcome.reason or outcome.status, outcome.detail or "")
