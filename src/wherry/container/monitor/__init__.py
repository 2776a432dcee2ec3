"""The process that stays with each container, and how others speak to it."""
