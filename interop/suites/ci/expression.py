"""Expressions in workflows of GitHub."""

import re


class Expression:
    """The part of GitHub's expressions that the files use."""

    TOKENS = re.compile(r"\s*('(?:[^']|'')*'|&&|\|\||==|!=|!|\(|\)|,|[A-Za-z_][\w.-]*)")

    def __init__(self, text, context, state):
        self.tokens, self.context, self.state = [], context, state
        at = 0
        while at < len(text.rstrip()):
            match = self.TOKENS.match(text, at)
            assert match, f"unknown expression: {text[at:]}"
            self.tokens.append(match[1])
            at = match.end()

    def value(self):
        value = self.either()
        assert not self.tokens, f"left over: {self.tokens}"
        return value

    def take(self, *wanted):
        return self.tokens.pop(0) if self.tokens and self.tokens[0] in wanted else None

    def either(self):
        value = self.both()
        while self.take("||"):
            other = self.both()
            value = value or other
        return value

    def both(self):
        value = self.compared()
        while self.take("&&"):
            other = self.compared()
            value = value and other
        return value

    def compared(self):
        value = self.single()
        operator = self.take("==", "!=")
        return value if not operator else (value == self.single()) == (operator == "==")

    def single(self):
        token = self.tokens.pop(0)
        if token == "(":
            value = self.either()
            assert self.take(")")
            return value
        if token == "!":
            return not self.single()
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self.take("("):
            arguments = []
            while not self.take(")"):
                arguments.append(self.either())
                self.take(",")
            if token == "format":
                return re.sub(r"\{(\d+)\}", lambda match: str(arguments[1 + int(match[1])]), arguments[0])
            return {"always": lambda: True, "success": lambda: self.state == "success", "failure": lambda: self.state == "failure"}[token]()
        value = self.context
        for part in token.split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        return value
