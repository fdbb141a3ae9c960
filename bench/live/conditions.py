"""The conditions that both systems have: fixed latencies of the vendors, and what agent and callee say.

No text asks for details, is a question, or ends in the middle of a sentence, so that every turn of a callee is over
after the same silence (`TURN_OVER_SECONDS`).
"""

TRANSCRIPT_SECONDS = 0.25
"""From a commit to the committed transcript."""
MODEL_SECONDS = 0.2
"""From a request to the model until the first word after the first sentence of its answer is sent."""
TOKEN_SECONDS = 0.012
"""From one word of the model to the next. A word is sent together with the space before it."""
SPEECH_SECONDS = 0.1
"""From a text to its first audio."""
COMMIT_AFTER_SECONDS = 0.22
TURN_OVER_SECONDS = 0.5
"""Silence until a turn of the callee is over: the policy of the floor, and that of voice for these texts."""
SEND_AHEAD_SECONDS = 0.2

GREETING = "Good morning, this is the assistant of the clinic, with a short message for you."
REPLY = ("Thank you, I have noted that for you.", "Please tell me what else you have in mind today.")
PHRASES = (
    "Good morning, you are speaking to the right person.",
    "That would suit me well, thank you for the call.",
    "We are looking forward to seeing all of you again.",
)
"""What a callee says, turn by turn; then it is silent, and hangs up."""
SCRIPT = f"{GREETING}\n\nYou note what the callee says, and do not end the call."
ANSWER_DELAY_SECONDS = 0.6
"""From the end of the agent's reply to the callee's answer."""
INTERRUPTS_AFTER_SECONDS = 1.5
"""How much of a reply a callee hears before it interrupts or coughs."""
