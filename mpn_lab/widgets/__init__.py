"""Explorers for notebooks: real widgets over the panels of `plotting`."""
