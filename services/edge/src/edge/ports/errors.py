"""Why a port cannot do what it is asked."""


class Unavailable(Exception):
    """NATS or another service does not answer; the same request may succeed later."""


class Unreadable(Unavailable):
    """An event of the call cannot be decoded by this build; another replica, or the next deploy, can."""


class TooLarge(Exception):
    """The request is larger than the maximum NATS message."""


class BacklogFull(Exception):
    """So many calls wait for a slot that no further one is accepted; the same request may succeed later."""


class SpeechUnavailable(Exception):
    """Voice has no audio for this turn."""
