"""Lab: does it do something? Steering against its nulls."""
