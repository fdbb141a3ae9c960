"""``python -m conversation``."""

from chassis.serve import serve
from contracts import Service
from conversation.composition import build
from conversation.settings import Settings

if __name__ == "__main__":
    serve(Service.CONVERSATION, Settings, build)
