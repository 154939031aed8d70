"""What a model's answers are worth: figures by frame and by patient, non-inferiority, pictures, report."""
