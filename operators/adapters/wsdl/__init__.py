"""SOAP without a socket: messages are made and read by the WSDL files kept here, and sent elsewhere.

zeep knows the protocol, `ports.Http` is the only way out: zeep is given a transport that reads the
files of this folder and nothing else.

Two things are read in two different ways. The XML must be whole and plain: no repair, no DTD, no
entities, no outside references. Its content is read with patience: elements we do not know, or in
another order, are passed over, because the files say what we rely on and not all there is.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import zeep
import zeep.exceptions
import zeep.helpers
import zeep.loader
import zeep.wsdl.utils

_FOLDER = Path(__file__).resolve().parent
_STRICT = {"strict": True, "forbid_dtd": True, "forbid_entities": True, "forbid_external": True}
_ENVELOPE = "{http://schemas.xmlsoap.org/soap/envelope/}"
_PATIENT = {"strict": False, "xsd_ignore_sequence_order": True}

# Half of zeep has no types; seen as Any it can be called where types are strict.
_zeep: Any = zeep


class NotSoap(ValueError):
    """The body is no whole answer to what was asked, nor a fault."""


class SoapFault(Exception):
    """The other side refused. `code` and `text` come from the fault's detail, "" without one."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code} {text}".strip())
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Message:
    """What is to be sent by POST."""

    body: bytes
    headers: dict[str, str]


class _Files:
    """What zeep believes to be a transport: the files of this folder."""

    def load(self, location: str) -> bytes:
        path = Path(location)
        if path.parent != _FOLDER:
            raise ValueError(f"{path.name} is no file of ours")
        return path.read_bytes()


class Soap:
    """The operations of one WSDL file. Nothing is ever sent; any thread may use it."""

    def __init__(self, file: str) -> None:
        self._files = _Files()
        self._settings = _zeep.Settings(**_STRICT)
        self._client = _zeep.Client(
            str(_FOLDER / file), transport=self._files, settings=self._settings
        )
        [self._binding] = self._client.wsdl.bindings.values()

    def message(self, operation: str, **values: str | int | None) -> Message:
        """The request of an operation; elements whose value is None or "" are left out."""
        given = {name: value for name, value in values.items() if value not in (None, "")}
        made = self._binding.get(operation).create(**given)
        headers = {"Content-Type": "text/xml; charset=utf-8", **made.headers}
        return Message(_zeep.wsdl.utils.etree_to_string(made.content), headers)

    def read(self, operation: str, body: bytes) -> dict[str, Any]:
        """What an answer carries: text, lists and dicts by the names of its elements.

        Raises `SoapFault` and `NotSoap`.
        """
        said = self._parsed(body).find(f"{_ENVELOPE}Body/*")
        if said is not None and said.tag == f"{_ENVELOPE}Fault":
            raise _fault(said)
        wanted = self._binding.get(operation).output.body
        if said is None or said.tag.rpartition("}")[2] != wanted.qname.localname:
            raise NotSoap(f"no answer to {operation}")
        return self._content(wanted, said)

    def _parsed(self, body: bytes) -> Any:
        try:
            document = _zeep.loader.parse_xml(body, self._files, settings=self._settings)
        except zeep.exceptions.Error as trouble:
            raise NotSoap("no XML, or XML that is not plain") from trouble
        if document.tag != f"{_ENVELOPE}Envelope":
            raise NotSoap("no SOAP envelope")
        return document

    def _content(self, element: Any, said: Any) -> dict[str, Any]:
        try:
            with self._client.settings(**_PATIENT):
                content = element.parse(said, self._client.wsdl.types)
        except zeep.exceptions.Error as trouble:
            raise NotSoap("the answer has another shape") from trouble
        return _zeep.helpers.serialize_object(content, dict) or {}


@lru_cache
def soap(file: str) -> Soap:
    """The operations of a file of this folder, read once in a process."""
    return Soap(file)


def _fault(fault: Any) -> SoapFault:
    code = fault.findtext(".//{*}errorCode") or ""
    text = fault.findtext(".//{*}errorDescription") or fault.findtext("{*}faultstring") or ""
    return SoapFault(code.strip(), text.strip())
