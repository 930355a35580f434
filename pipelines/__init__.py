"""The DVC stages of this repository, thin modules over `tracker.project.stage`; elsewhere `tracker stage NAME`."""
