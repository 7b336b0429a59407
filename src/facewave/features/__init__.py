"""From samples to what a network sees."""
