"""Analysis: from trial results and manifests to N_approx and a recommendation."""
