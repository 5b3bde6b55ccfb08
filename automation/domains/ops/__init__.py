"""Operations: backups that are proven, monitoring, deployments and provisionings that are undone when they fail."""
