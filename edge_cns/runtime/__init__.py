"""Running a bundle: from a frame to a verdict, with no training library in the process."""
