"""The request that a tool over HTTP gets: its body, its identity and its signature.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over the identity, the time
and the body. Receivers check it with one of its libraries, or as docs/tools.md shows.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass

from contracts import Call
from conversation.domain.tool_execution import ToolExecution
from sealing import SigningKey

USER_AGENT = "Centralita"


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A request to the receiver of a tool. `identity` is the same whenever the same tool call is sent again."""

    identity: str
    body: bytes

    @classmethod
    def of(cls, call: Call, attempt: int, turn: int, execution: ToolExecution) -> "ToolRequest":
        """Returns the request of a tool call. Raises ValueError if its arguments are not JSON."""
        body = {
            "campaign_id": call.campaign_id,
            "contact_id": call.contact_id,
            "call_id": str(call.call_id),
            "attempt": attempt,
            "turn": turn,
            "tool": execution.name,
            "arguments": execution.argument_values,
        }
        identity = f"{call.call_id}-{attempt}-{turn}-{execution.number}"
        return cls(identity, json.dumps(body, allow_nan=False, separators=(",", ":")).encode())

    def headers(self, key: SigningKey, timestamp: int) -> dict[str, str]:
        """Returns the headers of the request at a time in Unix seconds."""
        return {
            "Content-Type": "application/json",
            "Accept": "application/json, text/plain",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
            "Idempotency-Key": self.identity,
            "Webhook-Id": self.identity,
            "Webhook-Timestamp": str(timestamp),
            "Webhook-Signature": f"v1,{self._signature(key, timestamp)}",
        }

    def _signature(self, key: SigningKey, timestamp: int) -> str:
        signed = f"{self.identity}.{timestamp}.".encode() + self.body
        return base64.b64encode(hmac.digest(key.key, signed, hashlib.sha256)).decode()
