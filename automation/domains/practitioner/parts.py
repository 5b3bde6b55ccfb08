"""What each part of an onboarding asks for, and whether it is there."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db.models import Q

from automation import clock
from automation.domains.practitioner.models import (
    BackgroundCheck,
    CheckStatus,
    DocumentKind,
    DocumentStatus,
    Part,
    Practitioner,
    TrainingModule,
)


@dataclass(frozen=True)
class Finding:
    """`done`, or what is `missing` in words; `failed` is for good, for that `reason`."""

    done: bool = False
    failed: bool = False
    reason: str = ""
    missing: list[str] = field(default_factory=list)


def look(practitioner: Practitioner, part: Part) -> Finding:
    """Whether a part is done, by the rows."""
    match part:
        case Part.PROFILE:
            return _of(_missing_of_profile(practitioner))
        case Part.DOCUMENTS:
            return _of(_missing_documents(practitioner))
        case Part.BACKGROUND_CHECK:
            return _background_check(practitioner)
        case Part.TRAINING:
            return _of(_missing_trainings(practitioner))
        case Part.SUBSCRIPTION:
            return _of([] if _is_subscribed(practitioner) else ["an active subscription"])
        case Part.SERVICES:
            offers = practitioner.user.event_types.filter(is_active=True).exists()
            return _of([] if offers else ["an active service (event type)"])


def _of(missing: list[str]) -> Finding:
    return Finding(done=not missing, missing=missing)


def _missing_of_profile(practitioner: Practitioner) -> list[str]:
    user = practitioner.user
    wanted = {
        "a first name": user.first_name,
        "a last name": user.last_name,
        "a phone number": user.phone,
        "a headline": practitioner.headline,
        "a bio": practitioner.bio,
    }
    return [name for name, value in wanted.items() if not value.strip()]


def _missing_documents(practitioner: Practitioner) -> list[str]:
    there = {document.kind: document for document in practitioner.documents.all()}
    missing = []
    for kind in DocumentKind:
        document = there.get(kind)
        if document is None:
            missing.append(f"{kind.label.lower()}: not handed in")
        elif document.status == DocumentStatus.REJECTED:
            missing.append(f"{kind.label.lower()}: rejected{f', {document.reason}' if document.reason else ''}")
        elif document.status != DocumentStatus.VERIFIED:
            missing.append(f"{kind.label.lower()}: not reviewed yet")
    return missing


def _background_check(practitioner: Practitioner) -> Finding:
    latest: BackgroundCheck | None = practitioner.background_checks.order_by("-requested_at", "-id").first()
    if latest is None or latest.status == CheckStatus.REQUESTED:
        return _of(["the answer to the background check"])
    if latest.status == CheckStatus.FAILED:
        return Finding(failed=True, reason=latest.reason or "the background check failed")
    return Finding(done=True)


def _missing_trainings(practitioner: Practitioner) -> list[str]:
    modules = TrainingModule.objects.filter(is_required=True).exclude(completions__practitioner=practitioner)
    return [f"training: {title}" for title in modules.order_by("code").values_list("title", flat=True)]


def _is_subscribed(practitioner: Practitioner) -> bool:
    # Subscriptions are another domain's rows, reached by the user's relation where that domain is installed.
    subscriptions = getattr(practitioner.user, "subscriptions", None)
    if subscriptions is None:
        return False
    running = Q(status__in=("active", "past_due")) | Q(status="cancelled", current_period_end__gt=clock.now())
    return bool(subscriptions.filter(running).exists())
