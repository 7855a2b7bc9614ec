"""Kubeflow components: thin wrappers around `helmholtz.stages`, one folder each."""
