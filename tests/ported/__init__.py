"""Programs in the style of the SDK's samples: only their imports are Weir's."""
