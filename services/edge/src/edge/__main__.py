"""``python -m edge``: the public REST API and the telephone provider's webhooks."""

from chassis.serve import serve
from contracts import Service
from edge.composition import build
from edge.settings import Settings

if __name__ == "__main__":
    serve(Service.EDGE, Settings, build)
