"""The call orchestrator: decides the state of every call, pauses campaigns and grants slots."""
