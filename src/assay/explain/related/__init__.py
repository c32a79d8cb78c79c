"""Which units of earlier layers drive this one, and which of later layers it drives: by weights, and by ablation."""
