"""How checkpoints are made here: the preview's warm-up, then GRPO, its data, rewards and numbers."""
