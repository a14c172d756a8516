"""What a run writes: masks, overlay, heat maps, contact sheet, manifest."""
