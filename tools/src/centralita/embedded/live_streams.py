"""Where an embedded run accepts the media streams of live conversations."""

import socket
from collections.abc import Mapping


def live_settings(environment: Mapping[str, str], listener: socket.socket, *, is_simulated: bool) -> dict[str, str]:
    """Returns the settings of edge and voice. All replicas of voice accept streams on one listening socket.

    The simulated Twilio opens streams on loopback. The real one needs a public address (`LIVE_BASE_URL`); without it,
    live calls are held in turns.
    """
    own = f"ws://127.0.0.1:{listener.getsockname()[1]}"
    address = environment.get("LIVE_BASE_URL") or (own if is_simulated else "")
    return {"LIVE_BASE_URL": address, "LIVE_FD": str(listener.fileno()) if address else "", "LIVE_PORT": ""}
