"""Pictures of frames, maps, points and masks: what exporters, notebooks and pages are made of."""
