"""Segmenters: from points to masks, followed through a clip."""
