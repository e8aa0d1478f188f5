"""Events: CloudEvents on NATS JetStream, published through an outbox and consumed through an inbox."""

from chassis.bus import Bus, Stream
from chassis.events.event import Event, Reject
from chassis.events.outbox import Outbox

__all__ = ["Bus", "Event", "Outbox", "Reject", "Stream"]
