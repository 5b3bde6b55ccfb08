"""Operations: backups that are proven, monitoring, deployments and provisionings that are undone when they fail."""

from automation.domains import exports

__getattr__ = exports(__name__)
