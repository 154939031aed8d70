"""Cross-validation by patient: every patient is tested once, by a model that never met them."""
