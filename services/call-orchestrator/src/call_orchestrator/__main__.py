"""``python -m call_orchestrator``."""

from call_orchestrator.composition import build
from call_orchestrator.settings import Settings
from chassis.serve import serve
from contracts import Service

if __name__ == "__main__":
    serve(Service.ORCHESTRATOR, Settings, build)
