"""``python -m voice``: runs the service until SIGTERM or SIGINT."""

from chassis.serve import serve
from contracts import Service
from voice.composition import build
from voice.settings import Settings

if __name__ == "__main__":
    serve(Service.VOICE, Settings, build)
