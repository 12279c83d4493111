"""The published contract for operators, and whether an exchange keeps to it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator.readers import read_from_filename

FILE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "partner-api.yaml"


@dataclass(frozen=True)
class Said:
    """One exchange as it went over the wire; names of headers in any case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    status: int
    answer_headers: Mapping[str, str]
    answer: bytes


class ContractFile:
    """The file, with its references followed."""

    @cached_property
    def document(self) -> dict[str, Any]:
        return dict(read_from_filename(str(FILE))[0])

    def find(self, method: str, path: str) -> tuple[str, dict[str, Any], dict[str, str]]:
        """The path's template, the operation with all its parameters, and what stands in the path."""
        for template, item in self.document["paths"].items():
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
            match = re.fullmatch(pattern, path)
            if match and method.lower() in item:
                operation = item[method.lower()]
                parameters = [*item.get("parameters", []), *operation.get("parameters", [])]
                return template, operation | {"parameters": parameters}, match.groupdict()
        raise AssertionError(f"the contract has no {method} {path}")

    def check(self, said: Said) -> str:
        """Raises where the request or the answer is not as the contract says; else what it was."""
        template, operation, named = self.find(said.method, said.path)
        self._check_parameters(operation, said, named)
        self.check_body(operation, said.body)
        self.check_answer(operation, said.status, said.answer_headers, said.answer)
        return f"{said.method} {template} {said.status}"

    def _check_parameters(
        self, operation: dict[str, Any], said: Said, named: dict[str, str]
    ) -> None:
        headers = {name.lower(): value for name, value in said.headers.items()}
        parameters = [self._followed(one) for one in operation["parameters"]]
        for one in parameters:
            places = {"query": said.query, "path": named, "header": headers}
            name = one["name"].lower() if one["in"] == "header" else one["name"]
            given = places[one["in"]].get(name)
            assert given is not None or not one.get("required"), f"{name} is missing"
            if given is not None:
                typed = int(given) if one["schema"].get("type") == "integer" else given
                self.fits(typed, one["schema"])
        queried = {one["name"] for one in parameters if one["in"] == "query"}
        assert set(said.query) <= queried, f"{said.query} has more than {queried}"

    def check_body(self, operation: dict[str, Any], body: Any) -> None:
        wanted = operation.get("requestBody")
        if wanted is None:
            assert body is None, "a body where there is none"
            return
        self.fits(body, wanted["content"]["application/json"]["schema"])

    def check_answer(
        self, operation: dict[str, Any], status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        assert str(status) in operation["responses"], f"{status} is not in the contract"
        response = self._followed(operation["responses"][str(status)])
        for name, header in response.get("headers", {}).items():
            given, wanted = headers.get(name), self._followed(header)
            assert given is not None or not wanted.get("required"), f"{name} is missing"
            if given is not None:
                self.fits(given, wanted["schema"])
        content = response.get("content")
        if content is None:
            assert body == b"", "a body where there is none"
            return
        self.fits(json.loads(body), content["application/json"]["schema"])

    def fits(self, value: Any, schema: dict[str, Any]) -> None:
        """Raises jsonschema's ValidationError where the value is not as the schema wants."""
        whole = {**schema, "components": self.document["components"]}
        Draft202012Validator(whole, format_checker=FormatChecker()).validate(value)

    def schema(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.document["components"]["schemas"][name]
        return found

    def _followed(self, node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in node:
            return node
        found: Any = self.document
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return dict(found)
