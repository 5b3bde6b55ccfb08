"""What tests stand on: real servers, real workers, real receivers."""
