"""Training: one (architecture, level) with all its seeds."""
