"""Lab: what makes this unit fire, and what does it write?"""
