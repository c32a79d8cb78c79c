"""Every neuron of a model, or of some layers: explained and tested layer by layer."""
