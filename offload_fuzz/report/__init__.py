"""From what a campaign found to what people and programs read: terminal text and JSON."""
