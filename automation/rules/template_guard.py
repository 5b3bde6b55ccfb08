"""The parsed template, rewritten so that every step passes through the sandbox's accounting.

Jinja lets an environment intercept calls, filters, operators and attributes; loops, displays, comparisons, slices and
`~` compile to plain Python. Those are wrapped in private filters here. Tags that reach for other templates or switch
escaping off are refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from automation.rules.template_errors import TemplateBoundError, TemplateSecurityError, TemplateSyntaxError

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_NODES = 10_000
"""Parts of a parsed template."""

_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Extends: "extends",
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
    nodes.EvalContextModifier: "autoescape",
}

_Node = TypeVar("_Node", bound=nodes.Node)


def guard(template: nodes.Template, environment: Environment) -> nodes.Template:
    """The rewritten template. Raises `TemplateSecurityError` for a refused tag, `TemplateBoundError` for its size."""
    guarded = _Guard(environment).visit(template)
    assert isinstance(guarded, nodes.Template)
    return guarded


class _Guard(NodeTransformer):
    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.count = 0

    def generic_visit(self, node: _Node, *args: object, **kwargs: object) -> _Node:
        self.count += 1
        if self.count > MAX_NODES:
            raise TemplateBoundError(f"the template has more than {MAX_NODES:,} parts", node.lineno)
        tag = _REFUSED.get(type(node))
        if tag is not None:
            raise TemplateSecurityError(f"there is no tag {tag!r} in messages", node.lineno)
        return super().generic_visit(node, *args, **kwargs)  # type: ignore[return-value]

    def through(self, name: str, node: nodes.Node) -> nodes.Expr:
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=self.environment)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        node = self.generic_visit(node)
        node.iter = self.through("_each", node.iter)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        return self.through("_admit", self.generic_visit(node))

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        if isinstance(node.value, float) and not math.isfinite(node.value):
            raise TemplateSyntaxError("a number is too large", node.lineno)
        return self.generic_visit(node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        return self.through("_admit", self.generic_visit(node))

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        node = self.generic_visit(node)
        return self.through("_admit", node) if node.ctx == "load" else node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        node = self.generic_visit(node)
        node.expr = self.through("_admit", node.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        node = self.generic_visit(node)
        return self.through("_admit", node) if isinstance(node.arg, nodes.Slice) else node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        node = self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno, environment=self.environment)
        return self.through("_concat", parts)
