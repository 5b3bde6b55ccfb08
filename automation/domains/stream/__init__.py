"""Live streams in video rooms: set up, recorded, cleaned up."""
