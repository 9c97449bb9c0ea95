//! Admin HTTP: /livez, /readyz, /metrics, /api/status.
