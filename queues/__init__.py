"""How work travels: Dramatiq on Redis, made safe for money.

`PayspoolBroker` is a Dramatiq broker; actors are declared on it as usual. `run` is a worker
process. The `events` queue is consumed in batches (`Batch`), other queues message by message.
`send` puts messages on queues without actors, `queues.inspect` tells what is on
them.
"""

from queues.batches import Batch, BatchItem, BatchLimits
from queues.broker import PayspoolBroker
from queues.bucket import Bucket, Turn
from queues.dead import DeadLetter, DeadLetterSink
from queues.errors import DelayRefused, QueuesError, UnknownQueue
from queues.inspect import QueueState, is_idle
from queues.liveness import LivenessSettings
from queues.pause import AlreadyPaused, NotPaused, Pause, PauseLog, Pauses
from queues.send import Outgoing, enqueue, enqueue_many
from queues.worker import run
from queues.workforce import NoSuchWorker, NotQuiet, Quiet, QuietLog, WorkerState, Workforce

__all__ = [
    "AlreadyPaused",
    "Batch",
    "BatchItem",
    "BatchLimits",
    "Bucket",
    "DeadLetter",
    "DeadLetterSink",
    "DelayRefused",
    "LivenessSettings",
    "NoSuchWorker",
    "NotPaused",
    "NotQuiet",
    "Outgoing",
    "Pause",
    "PauseLog",
    "Pauses",
    "PayspoolBroker",
    "QueueState",
    "QueuesError",
    "Quiet",
    "QuietLog",
    "Turn",
    "UnknownQueue",
    "WorkerState",
    "Workforce",
    "enqueue",
    "enqueue_many",
    "is_idle",
    "run",
]
