"""The lab that asks whether a model can say its own activations."""
