"""What an experiment found: judged by the one rule, drawn, and written into its run. The concept labs share it."""
