"""Two explanations beside held-out text, which fits better: pairs, the page, and how far people agree with scores."""
