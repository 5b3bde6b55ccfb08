"""Programs in the style of the SDK's hello samples: only their imports are Weir's."""
