"""The training itself: GRPO on TRL, from a recipe that is checked to checkpoints that explain themselves."""
