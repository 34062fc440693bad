"""Releases, one folder each: config.json, model.safetensors and README.md. Installed as ``elfzoo.model_cards``."""
