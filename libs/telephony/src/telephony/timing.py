"""Time limits that edge and voice must agree on.

If voice cannot synthesize the rest of a turn, the telephone provider's voice speaks it. Voice requests that by
redirecting the call. If the redirect fails, the line is silent, and the edge speaks the same text after that silence.
The redirect must therefore have succeeded or failed before the silence ends; otherwise the text is spoken twice.
"""

HANDOVER_SECONDS = 3.0
"""The longest time that voice tries to redirect a call."""
SILENCE_SECONDS = 5
"""The silence after which the provider reports an utterance without text."""
MESSAGE_SILENCE_SECONDS = 1
"""The silence after the message to a machine after which the message counts as played to its end."""
