//! Proactive Resource Orchestrator.
