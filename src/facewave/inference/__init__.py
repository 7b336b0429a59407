"""Networks: where they are on disk and how they run."""
