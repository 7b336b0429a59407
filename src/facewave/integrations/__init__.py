"""Adapters to voice-agent frameworks; each needs the extra of its name."""
