"""What can go wrong with a template. Rendering raises nothing outside this family."""

from __future__ import annotations

from automation.errors import InvalidInput


class TemplateError(InvalidInput):
    """The template cannot be rendered. `line` is the line of the template, 1 for the first, when it is known."""

    code = "template_error"

    def __init__(self, message: str, line: int | None = None) -> None:
        self.reason = message
        self.line = line
        super().__init__(f"Line {line}: {message}" if line else message)


class TemplateSyntaxError(TemplateError):
    """The template is not well formed, or uses a filter, test or tag that there is not."""

    code = "template_syntax"


class TemplateRenderError(TemplateError):
    """The template is well formed, and has no meaning for these values: text minus a number, an unknown unit."""

    code = "template_render"


class TemplateSecurityError(TemplateError):
    """The template reaches for something outside the sandbox."""

    code = "template_security"


class TemplateBoundError(TemplateError):
    """The template passes a bound on its source, its output, its render time or one operation's size."""

    code = "template_bound"
