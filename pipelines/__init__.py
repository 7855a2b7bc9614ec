"""The Kubeflow pipeline, and the two places to run it: this machine (kfp.local) and a cluster (kfp.Client)."""
