"""call_orchestrator."""
