"""`manage.py trigger_practitioner_workflows`: the workflows of a practitioner, by what an operator calls them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from automation.durable import registry
from automation.management.base import OperatorCommand, add_word, positive
from automation.models import User
from automation.services import running

# The same as those of trigger_payment_workflows: a subscription is renewed by one execution at a time.
PREFIXES = {"onboarding": "onboarding-", "renewal": "subscription-renewal-"}


class Command(OperatorCommand):
    help = "Start a practitioner's onboarding, or the renewal of a subscription."
    examples = (
        "trigger_practitioner_workflows onboarding 123",
        "trigger_practitioner_workflows onboarding 123 --id onboarding-123",
        "trigger_practitioner_workflows renewal 789",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", metavar="onboarding|renewal", required=True)
        onboarding = add_word(
            commands, "onboarding", "PractitionerOnboardingWorkflow for a practitioner", self.examples
        )
        onboarding.add_argument("subject", type=positive, metavar="ID", help="the practitioner's id: their user's")
        renewal = add_word(commands, "renewal", "SubscriptionRenewalWorkflow for a subscription", self.examples)
        renewal.add_argument("subject", type=positive, metavar="ID", help="the subscription's id")
        for one in (onboarding, renewal):
            one.add_argument("--task-queue", default="", metavar="Q", help="the queue (by default the domain's)")
            one.add_argument("--id", default="", help="an id of your own (by default onboarding-ID, "
                             "subscription-renewal-ID); one "
                             "execution that has not ended can have it")  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        subject: int = options["subject"]
        if options["what"] == "onboarding":
            self._check_practitioner(subject)
            name = "PractitionerOnboardingWorkflow"
        else:
            self._check_subscription(subject)
            name = "SubscriptionRenewalWorkflow"
        self.doubt_queues(options["task_queue"])
        execution = running.start(
            name,
            positional=[str(subject)],
            queue=options["task_queue"],
            business_id=options["id"] or f"{PREFIXES[options['what']]}{subject}",
        )
        self.say(f"▶ {name} {execution}")

    def _check_practitioner(self, subject: int) -> None:
        user = User.objects.filter(pk=subject).first()
        if user is None:
            raise CommandError(f"there is no user {subject}; expected the id of a practitioner{_some_practitioners()}")
        if not hasattr(user, "practitioner"):
            raise CommandError(
                f"user {subject} ({user}) is no practitioner; give them a profile in the admin, under Practitioners"
                f"{_some_practitioners()}"
            )

    def _check_subscription(self, subject: int) -> None:
        registry.workflow("SubscriptionRenewalWorkflow")
        owner = User.objects.filter(subscriptions=subject)
        if not owner.exists():
            known = User.objects.filter(subscriptions__isnull=False).order_by("subscriptions")
            ids = [str(id) for id in known.values_list("subscriptions", flat=True)[:5]]
            there = f"; there are: {', '.join(ids)}" if ids else "; there are none yet"
            raise CommandError(f"there is no subscription {subject}{there}")


def _some_practitioners() -> str:
    found = User.objects.filter(practitioner__isnull=False).order_by("pk").values_list("pk", flat=True)[:5]
    return f"; practitioners are: {', '.join(map(str, found))}" if found else "; there are no practitioners yet"
