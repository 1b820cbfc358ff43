"""What a build uses of this machine: a home with locks, the runtime in it, uv, scripts run to their end. No engine."""
