"""Translation between what peers send and what the core understands."""
