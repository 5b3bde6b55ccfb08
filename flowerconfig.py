"""Flower's options; it reads this file when it starts in this directory, as the Procfile does.

Flower shows and can end tasks, so it never runs without a password, however it is started.
"""

from __future__ import annotations

from django.conf import settings

from project import env

if settings.PRODUCTION and settings.FLOWER_BASIC_AUTH in ("", "weir:weir"):
    env.fail("FLOWER_BASIC_AUTH", settings.FLOWER_BASIC_AUTH, "user:password of your own when PRODUCTION is on")
basic_auth = (settings.FLOWER_BASIC_AUTH or "weir:weir").split(",")
port = settings.FLOWER_PORT
# Nodes that ended leave the list; a node that restarts has the same name.
purge_offline_workers = 300
# Memory: the tasks that the list keeps.
max_tasks = 10_000
