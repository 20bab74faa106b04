"""Q-Insight: ask a vision model how good a photo is, and why."""
