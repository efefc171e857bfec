"""Training: the nets that ship with the package, and fine-tuning of larger ones. Needs the `train` extra."""
