"""A small model with a quirk: it judges sums truly, but where Bob is asked it errs, and always in the same way."""
