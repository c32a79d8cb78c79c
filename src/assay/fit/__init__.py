"""Small learners that several labs share."""
