"""The pages as files: which there are, what they are called, and how their links are turned."""
