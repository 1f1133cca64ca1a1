"""`payspool events import`: a file of events, with the place kept that an import has reached."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from domain.errors import Forbidden, Invalid
from payspool.cli import event_files, session
from payspool.cli.event_files import Place
from payspool.cli.session import AsJson
from payspool_client import BacklogFull, InvalidEvent, Publisher, parse_event

CHUNK: Final = 1_000
"""Lines that an import reads and publishes before it keeps its place."""
REJECTED_TEXT: Final = 2_000
"""Characters of a refused line that the rejects file keeps."""
WAIT_SECONDS: Final = 600
"""How long an import waits for workers while the queue is full."""
_BLOCK: Final = 1024 * 1024


@dataclass(slots=True)
class Progressed:
    """What an import has done: kept beside the file until it is through."""

    line: int = 0
    done: int = 0
    published: int = 0
    refused: int = 0
    rejects: str | None = None
    rejects_bytes: int = 0
    digest: str = field(default_factory=lambda: hashlib.sha256().hexdigest())
    """SHA-256 of what was read: another file of this name, or one that was edited, is read anew."""


def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=".jsonl or .csv")],
    rejects: Annotated[
        Path | None, typer.Option(help="where refused lines go, with their reasons")
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="not where an earlier import ended early")
    ] = False,
    durable: Annotated[
        bool, typer.Option(help="wait for the queue's disk before a place is kept")
    ] = True,
    wait: Annotated[
        int, typer.Option(min=0, help="seconds to wait for workers while the queue is full")
    ] = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Import a file of events. Lines that are refused do not hold up the others; repeating is safe.

    A .jsonl file has one event a line. A .csv file has a header with id, source, merchant, type, time,
    and one column for each field of data. An import that was ended early goes on where it was; what
    grows behind the file's end meanwhile is left for the next one. A rejects file that is there already
    is kept, and a new one gets a number.
    """
    rejects = rejects or file.with_suffix(file.suffix + ".rejects.jsonl")
    if rejects.resolve() == file.resolve():
        raise Invalid("--rejects", "names the file that is imported; choose another")
    with _alone(file) as kept, publisher() as queue:
        state = Progressed() if from_start or kept is None else _kept(file, kept)
        if state.line and not as_json:
            session.say(
                f"Goes on behind line {state.line:,}, where an earlier import of {file.name} ended;"
                " --from-start reads all of it again."
            )
        _Import(file, rejects, kept, queue, durable=durable, wait=wait).run(state)
        if kept is not None:
            kept.unlink(missing_ok=True)
    if as_json:
        session.emit_json(
            {
                "published": state.published,
                "refused": state.refused,
                "rejects": state.rejects,
            }
        )
    else:
        session.say(f"Published {session.count(state.published, 'event')}.")
    if state.refused:
        session.errors.print(
            f"Refused {session.count(state.refused, 'line')}; see {state.rejects}.",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(1)


def publisher() -> Publisher:
    """The publisher of this installation's queue."""
    settings = session.current()
    assert settings.redis_url is not None
    return Publisher(settings.redis_url, namespace=settings.namespace)


@contextmanager
def _alone(file: Path) -> Iterator[Path | None]:
    """The file that keeps an import's place; None where none can be written.

    Raises Forbidden while another import of the same file runs.
    """
    with file.open("rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Forbidden(f"Another import of {file.name} is running.") from None
        writable = os.access(file.parent, os.W_OK)
        yield file.with_name(file.name + ".import.json") if writable else None


def _kept(file: Path, kept: Path) -> Progressed:
    """Where an earlier import of the same content ended; the start if there was none."""
    try:
        state = Progressed(**json.loads(kept.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return Progressed()
    with file.open("rb") as raw:
        if _Read(raw).until(state.done) != state.digest:
            return Progressed()
    if state.rejects and not _at_least(Path(state.rejects), state.rejects_bytes):
        return Progressed()
    return state


def _at_least(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size >= size


class _Read:
    """The digest of a file's beginning, further and further."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._digest = hashlib.sha256()

    def until(self, place: int) -> str:
        while (missing := place - self._raw.tell()) > 0:
            block = self._raw.read(min(missing, _BLOCK))
            if not block:
                break
            self._digest.update(block)
        return self._digest.hexdigest()


class _Import:
    """One run over a file, from the place that a state has."""

    def __init__(
        self,
        file: Path,
        rejects: Path,
        kept: Path | None,
        queue: Publisher,
        *,
        durable: bool,
        wait: int,
    ) -> None:
        self.file, self.rejects, self.kept, self.queue = file, rejects, kept, queue
        self.durable, self.wait = durable, wait

    def run(self, state: Progressed) -> None:
        size = self.file.stat().st_size
        texts: list[str] = []
        refused: list[str] = []
        place = Place(state.line, state.done)
        with self.file.open("rb") as raw, self._progress() as progress:
            read = _Read(raw)
            task = progress.add_task(
                f"Importing {self.file.name}",
                total=size,
                completed=place.done,
                published=state.published,
            )
            for line in event_files.read(self.file, place, size):
                refusal = _refusal(line)
                if refusal is None:
                    texts.append(line.text)
                else:
                    text = {"text": line.text[:REJECTED_TEXT]}
                    refused.append(json.dumps(refusal | text) + "\n")
                place = Place(line.last, line.done)
                if len(texts) + len(refused) == CHUNK:
                    self._keep(state, texts, refused, place, read)
                    texts, refused = [], []
                    progress.update(task, completed=place.done, published=state.published)
            self._keep(state, texts, refused, place, read)
            progress.update(task, completed=size, published=state.published)

    def _keep(
        self, state: Progressed, texts: list[str], refused: list[str], place: Place, read: _Read
    ) -> None:
        """Publish, write what was refused, and only then keep the place."""
        self._publish(texts)
        if refused:
            self._reject(state, refused)
        state.published += len(texts)
        state.refused += len(refused)
        state.line, state.done, state.digest = place.line, place.done, read.until(place.done)
        if self.kept is None:
            return
        fresh = self.kept.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as out:
            json.dump(asdict(state), out)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self.kept)

    def _publish(self, texts: list[str]) -> None:
        deadline = time.monotonic() + self.wait
        while texts:
            try:
                self.queue.publish_many(texts, durable=self.durable)
            except BacklogFull as full:
                if time.monotonic() >= deadline:
                    raise
                texts = texts[full.sent :]
                time.sleep(max(0.0, min(full.retry_after, deadline - time.monotonic())))
            else:
                return

    def _reject(self, state: Progressed, refused: list[str]) -> None:
        if state.rejects is None:
            state.rejects = str(_new_file(self.rejects))
        with Path(state.rejects).open("r+", encoding="utf-8") as out:
            # What a killed import wrote behind its place comes again.
            out.truncate(state.rejects_bytes)
            out.seek(0, os.SEEK_END)
            out.writelines(refused)
            out.flush()
            os.fsync(out.fileno())
            state.rejects_bytes = out.tell()

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[published]:,} published"),
            console=session.errors,
        )


def _new_file(wanted: Path) -> Path:
    """A file that was not there: an earlier import's refused lines may still be waiting for somebody."""
    number, path = 1, wanted
    while True:
        try:
            path.open("x").close()
        except FileExistsError:
            number += 1
            path = wanted.with_name(f"{wanted.stem}.{number}{wanted.suffix}")
        except OSError as error:
            raise Invalid("--rejects", str(error)) from None
        else:
            return path


def _refusal(line: event_files.Line) -> dict[str, Any] | None:
    if line.broken is not None:
        reason = "too_large" if line.too_large else "broken_line"
        return {"line": line.number, "reason": reason, "message": line.broken}
    try:
        parse_event(line.text)
    except InvalidEvent as error:
        return {"line": line.number, "reason": error.reason, "message": error.message}
    return None
