"""Small learners that several labs share: probes, ridge, LoRA on cached residuals."""
