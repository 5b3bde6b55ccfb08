"""A stream's setup and a room's maintenance by real workers, started as an operator does."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import call_command

from automation import clock
from automation.domains.room.models import Room
from automation.domains.stream.models import Stream, StreamParticipant, StreamStatus
from automation.models import ProviderRecord
from tests.automation.factories import make_organizer
from tests.support.processes import Worker


def run(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, "--task-queue", "workflows", "--wait", "--timeout", "60", stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.real
def test_workers_set_a_stream_up_and_keep_its_room(shared_worker: Worker) -> None:
    start = clock.now() + timedelta(hours=1)
    stream = Stream.objects.create(
        title="Morning yoga", host=make_organizer(), starts_at=start, ends_at=start + timedelta(hours=1)
    )
    for number in range(5):
        StreamParticipant.objects.create(stream=stream, name=f"Guest {number}", email=f"guest{number}@example.com")
    given = {"stream_id": stream.pk, "config": {"quality": "HD"}}
    printed = run("trigger_workflow", "StreamSetupWorkflow", "--json-input", json.dumps(given))
    assert '"tokens": 6' in printed
    stream.refresh_from_db()
    assert stream.status == StreamStatus.READY
    assert not stream.participants.filter(token_encrypted="").exists()
    room = Room.objects.get(name=stream.room_name)
    ProviderRecord.objects.filter(key=room.name).delete()
    assert "missing" in run("trigger_workflow", "RoomMaintenanceWorkflow", "--room-id", str(room.pk))
    assert ProviderRecord.objects.filter(key=room.name).exists()
