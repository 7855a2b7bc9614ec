"""Bundled experiments, by name. Each is one YAML file that states its purpose, command and expected time."""
