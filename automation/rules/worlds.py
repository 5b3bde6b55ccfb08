"""Rules judged in every world that there can be: each hour of a week, each event type of a workflow, each status.

Fields such as `is_weekend` and `booking_day_name` hang together: no booking is on a Saturday and not on a weekend. A
family lists the combinations of values that its fields can have, and each rule about them is tried on all of these by
the operators themselves. A rule about another field may hold in any of them. So what is found to hold never, or
always, does so; not everything that does is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from automation.rules.analysis import Finding, Verdict, analyse
from automation.rules.conditions import MAX_DEPTH, compiled
from automation.rules.context import BUSINESS_HOURS, DAY_NAMES
from automation.rules.values import preview


@dataclass(frozen=True)
class Family:
    """`worlds`: the values that these fields can have together. `named`: how one of the worlds is called."""

    named: str
    worlds: tuple[Mapping[str, Any], ...]
    fields: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", frozenset(name for world in self.worlds for name in world))


WEEK = Family(
    "hour of the week",
    tuple(
        {
            "booking_hour": hour,
            "booking_day_of_week": day,
            "booking_day_name": DAY_NAMES[day],
            "is_weekend": day >= 5,
            "is_business_hours": day < 5 and hour in BUSINESS_HOURS,
        }
        for day in range(7)
        for hour in range(24)
    ),
)


@dataclass(frozen=True)
class Judgement:
    """`impossible`: why the conditions as a whole never hold; empty where they can. `certain`: they always hold."""

    findings: list[Finding]
    impossible: str = ""
    certain: bool = False


def judge(conditions: Any, families: Sequence[Family] = (WEEK,)) -> Judgement:
    """What can be said of a valid condition list: `analyse`, and each family's worlds."""
    findings = analyse(conditions)
    if not isinstance(conditions, (list, tuple)) or not conditions:
        return Judgement(findings)
    whole = _Group("conditions", True, tuple(_node(f"conditions[{i}]", group, 1) for i, group in enumerate(conditions)))
    never = {finding.path: finding.message for finding in findings if finding.verdict is Verdict.NEVER}
    for family in families:
        found = list(_findings(whole, family, never))
        findings += found
        never |= {finding.path: finding.message for finding in found if finding.verdict is Verdict.NEVER}
    impossible = whole.impossible(never)
    certain = not impossible and any(whole.must(family) == _all(family) for family in families)
    return Judgement(findings, impossible, certain)


Never = Mapping[str, str]
"""Why what stands at a path never holds."""


class _Rule:
    def __init__(self, path: str, rule: Any) -> None:
        self.path = path
        self._rule = rule if isinstance(rule, Mapping) else {}
        name = self._rule.get("field")
        # A computed value may read any field, so it says nothing about this one.
        self._field = name if isinstance(name, str) and not isinstance(self._rule.get("value"), Mapping) else ""
        self._masks: dict[int, int] = {}

    def is_about(self, family: Family) -> bool:
        return self._field in family.fields

    def may(self, family: Family, never: Never) -> int:
        """The worlds, as bits, in which it can hold."""
        if self.path in never:
            return 0
        return self._mask(family) if self.is_about(family) else _all(family)

    def must(self, family: Family) -> int:
        """The worlds in which it holds, whatever the fields outside the family are."""
        return self._mask(family) if self.is_about(family) else 0

    def _mask(self, family: Family) -> int:
        if id(family) not in self._masks:
            (test,) = compiled([{"operator": "AND", "rules": [self._rule]}])
            self._masks[id(family)] = sum(1 << bit for bit, world in enumerate(family.worlds) if test.holds(world))
        return self._masks[id(family)]

    def impossible(self, never: Never) -> str:
        return never.get(self.path, "")

    def __str__(self) -> str:
        value = self._rule.get("value")
        shown = "" if value is None else f" {preview(value)}"
        return f"{self._field} {str(self._rule.get('operator')).replace('_', ' ')}{shown}"


@dataclass(frozen=True)
class _Group:
    path: str
    is_and: bool
    members: tuple[_Group | _Rule, ...]

    def is_about(self, family: Family) -> bool:
        return any(member.is_about(family) for member in self.members)

    def may(self, family: Family, never: Never) -> int:
        if self.path in never:
            return 0
        return self._joined([member.may(family, never) for member in self.members], family)

    def must(self, family: Family) -> int:
        return self._joined([member.must(family) for member in self.members], family)

    def _joined(self, masks: Sequence[int], family: Family) -> int:
        result = _all(family) if self.is_and else 0
        for mask in masks:
            result = result & mask if self.is_and else result | mask
        return result

    def impossible(self, never: Never) -> str:
        """Why it never holds, or the empty string."""
        if self.path in never:
            return never[self.path]
        reasons = [member.impossible(never) for member in self.members]
        if self.is_and:
            return next((reason for reason in reasons if reason), "")
        return reasons[0] if reasons and all(reasons) else ""


def _node(path: str, member: Any, depth: int) -> _Group | _Rule:
    rules = member.get("rules") if isinstance(member, Mapping) else None
    if not isinstance(rules, (list, tuple)) or depth > MAX_DEPTH:
        return _Rule(path, member)
    members = tuple(_node(f"{path}.rules[{index}]", rule, depth + 1) for index, rule in enumerate(rules))
    return _Group(path, member.get("operator") == "AND", members)


def _findings(node: _Group | _Rule, family: Family, never: Never) -> Iterator[Finding]:
    """At the innermost place where something never holds, and the outermost where it always does; what `never` knows
    is not told again."""
    if not node.is_about(family):
        return
    if node.must(family) == _all(family) and node.path != "conditions":
        yield Finding(node.path, Verdict.ALWAYS, f"{_about(node, family)}: this holds for every {family.named}")
        return
    inner = [finding for member in _members(node) for finding in _findings(member, family, never)]
    yield from inner
    told = any(finding.verdict is Verdict.NEVER for finding in inner)
    if not told and not node.impossible(never) and node.may(family, never) == 0:
        text = f"{_about(node, family)}: there is no {family.named} for which this holds"
        yield Finding(node.path, Verdict.NEVER, text)


def _about(node: _Group | _Rule, family: Family) -> str:
    return ", ".join(str(rule) for rule in _rules(node) if rule.is_about(family))


def _members(node: _Group | _Rule) -> tuple[_Group | _Rule, ...]:
    return node.members if isinstance(node, _Group) else ()


def _rules(node: _Group | _Rule) -> Iterator[_Rule]:
    if isinstance(node, _Rule):
        yield node
    else:
        for member in node.members:
            yield from _rules(member)


def _all(family: Family) -> int:
    return (1 << len(family.worlds)) - 1
