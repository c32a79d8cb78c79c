"""The web viewer: pages about runs, served to this machine alone. It reads the store and needs no torch."""
