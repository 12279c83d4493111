"""Five awkward operators that nobody has named: tiny servers with a state, and their descriptions.

All is invented. Each description was written by the guide alone, as staff would.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from cabinet.sandbox.http import Request, Response, json_response
from operators.tests.described import Handler

SECRET = "tajna-sosny-77"


@dataclass
class Operator:
    """A played operator: one card, what was done to it, and its answers by address."""

    iccid: str = ""
    on: bool = False
    done: list[str] = field(default_factory=list)

    def switch(self, on: bool) -> None:
        self.on = on
        self.done.append("on" if on else "off")

    def handlers(self) -> dict[str, Handler]:
        raise NotImplementedError


# --- a signature over sorted parameters, forms, bits in lists, errors at 200 -----------------------------


class Sosna(Operator):
    def handlers(self) -> dict[str, Handler]:
        return {"POST /gate": self.gate}

    def gate(self, request: Request) -> Response:
        form = request.form()
        sign = form.pop("sign")
        fields = {**form, "k": request.query["k"][0]}
        text = "".join(f"{name}{fields[name]}" for name in sorted(fields))
        expected = hashlib.md5(f"{text}{SECRET}".encode(), usedforsecurity=False).hexdigest()
        if sign != expected.upper():
            return json_response({"err": 7, "msg": "sign"})
        if form["act"] == "set":
            self.switch(form["mode"] == "1")
        return json_response({"err": 0, "data": [["1", 0], [self.iccid, 3 if self.on else 7]]})


def sosna_call(**fields: str) -> dict[str, Any]:
    template = {"act": "get", "icc": "{iccid}", "t": "{now_ms}", **fields}
    return {
        "method": "POST",
        "path": "/gate",
        "body": {"kind": "form", "template": template},
    }


SOSNA = {
    "title": "Сосна",
    "fields": [
        {"name": "app", "label": "Приложение"},
        {"name": "word", "label": "Слово подписи"},
    ],
    "login": {
        "keys": [{"field": "app", "in": "query", "name": "k"}],
        "sign": {
            "algorithm": "md5",
            "text": "{params}{word}",
            "params": {"each": "{name}{value}", "between": ""},
            "encoding": "hex_upper",
            "in": "body",
            "name": "sign",
        },
    },
    "calls": {
        "activate": sosna_call(act="set", mode="1") | {"success": {"200": "read"}},
        "deactivate": sosna_call(act="set", mode="0") | {"success": {"200": "read"}},
        "read": sosna_call() | {"answer": {"rows": "data", "iccid": "[0]", "state": "[1][&4]"}},
        "ping": {
            "method": "POST",
            "path": "/gate",
            "body": {"kind": "form", "template": {"act": "hi"}},
        },
    },
    "states": {"words": {"false": "active", "true": "inactive"}},
    "errors": {"code": "err", "text": "msg", "fine": ["0"], "codes": {"7": "auth"}},
}
SOSNA_KEYS = {"app": "app-sosna-1", "word": SECRET}


# --- a session with a CSRF token, a version in ETag, JSON Patch ------------------------------------------


class Ladoga(Operator):
    def handlers(self) -> dict[str, Handler]:
        card = f"/cards/{self.iccid}"
        return {
            "POST /session": self.login,
            "GET /me": self.guarded(lambda _: Response(204)),
            f"GET {card}": self.guarded(self.read),
            f"PATCH {card}": self.guarded(self.patch),
        }

    def login(self, request: Request) -> Response:
        assert request.form() == {"u": "kassa", "p": SECRET}
        cookie = "SID=s%2F1; Path=/; HttpOnly"
        return json_response({"csrf": {"value": "c-1"}}, Set_Cookie=cookie)

    def guarded(self, handler: Handler) -> Handler:
        def checked(request: Request) -> Response:
            given = (request.headers.get("cookie"), request.headers.get("x-csrf"))
            return handler(request) if given == ("SID=s%2F1", "c-1") else Response(401)

        return checked

    def etag(self) -> str:
        return f'"v{len(self.done)}"'

    def read(self, _request: Request) -> Response:
        blocked = None if self.on else "2026-11-01T00:00:00Z"
        return json_response({"icc": self.iccid, "blockedAt": blocked}, ETag=self.etag())

    def patch(self, request: Request) -> Response:
        if request.headers.get("content-type") != "application/json-patch+json":
            return Response(415)
        if request.headers.get("if-match") != self.etag():
            return Response(412)
        assert request.json()[0]["path"] == "/status"
        self.switch(request.json()[0]["value"] == 2)
        return Response(204)


def ladoga_call(value: int) -> dict[str, Any]:
    patch = [{"op": "replace", "path": "/status", "value": value}]
    return {
        "prepare": {
            "path": "/cards/{iccid}",
            "answer": {"iccid": "icc", "take": {"etag": "header:ETag"}},
        },
        "method": "PATCH",
        "path": "/cards/{iccid}",
        "headers": {"If-Match": "{etag}", "Content-Type": "application/json-patch+json"},
        "body": {"kind": "json", "template": patch},
        "success": {"204": "read"},
    }


LADOGA = {
    "title": "Ладога",
    "login": {
        "kind": "token_call",
        "url": "/session",
        "body": {"kind": "form", "template": {"u": "{username}", "p": "{password}"}},
        "token": "cookie:SID",
        "place": {"in": "cookie", "name": "SID"},
        "more": [{"token": "csrf.value", "in": "header", "name": "X-CSRF"}],
    },
    "calls": {
        "activate": ladoga_call(2),
        "deactivate": ladoga_call(3),
        "read": {"path": "/cards/{iccid}", "answer": {"iccid": "icc", "state": "blockedAt[?]"}},
        "ping": {"path": "/me", "success": [204]},
    },
    "states": {"words": {"false": "active", "true": "inactive"}},
    "errors": {"statuses": {"412": "conflict_pending"}},
}
LADOGA_KEYS = {"username": "kassa", "password": SECRET}


# --- JSON:API, an operation to be followed by its address, percents ---------------------------------------


@dataclass
class Azimut(Operator):
    url: str = ""
    percent: list[int] = field(default_factory=lambda: [40, 100])

    def handlers(self) -> dict[str, Handler]:
        return {
            f"PATCH /v4/sims/{self.iccid}": self.patch,
            "GET /v4/operations/77/status": self.status,
            f"GET /v4/sims/{self.iccid}": self.read,
            "GET /v4": lambda _: json_response({"data": []}),
        }

    def patch(self, request: Request) -> Response:
        kinds = {request.headers.get("content-type"), request.headers.get("accept")}
        assert kinds == {"application/vnd.api+json"}
        self.on = request.json()["data"]["attributes"]["mode"] == "run"
        link = f"{self.url}/v4/operations/77/status?job=a%2Fb&api-version=4"
        return Response(202, headers={"Operation-Location": link, "Retry-After": "2"})

    def status(self, request: Request) -> Response:
        assert request.query == {"job": ["a/b"], "api-version": ["4"]}
        percent = self.percent.pop(0)
        if percent == 100:
            self.done.append("on" if self.on else "off")
        return json_response({"data": {"attributes": {"percent": percent}}}, Retry_After="2")

    def read(self, _request: Request) -> Response:
        mode = "run" if self.on else "stop"
        return json_response({"data": {"id": self.iccid, "attributes": {"mode": mode}}})


def azimut_call(mode: str) -> dict[str, Any]:
    data = {"type": "sims", "id": "{iccid}", "attributes": {"mode": mode}}
    return {
        "method": "PATCH",
        "path": "/v4/sims/{iccid}",
        "headers": {"content-type": "application/vnd.api+json"},
        "body": {"kind": "json", "template": {"data": data}},
        "success": {"202": "request"},
        "answer": {"request_id": "header:Operation-Location:link"},
    }


AZIMUT = {
    "title": "Азимут",
    "headers": {"accept": "application/vnd.api+json"},
    "login": {"kind": "bearer"},
    "calls": {
        "activate": azimut_call("run"),
        "deactivate": azimut_call("stop"),
        "check": {"path": "{request_id}", "answer": {"result": "data.attributes.percent"}},
        "read": {
            "path": "/v4/sims/{iccid}",
            "answer": {"iccid": "data.id", "state": "data.attributes.mode"},
        },
        "ping": {"path": "/v4"},
    },
    "states": {"words": {"run": "active", "stop": "inactive"}},
    "results": {"words": {"100": "done", "-1": "failed"}},
    "times": {"poll_plan": [2, 5]},
}
AZIMUT_KEYS = {"token": SECRET}


# --- reserve, then commit by a link of the answer --------------------------------------------------------


class Dvina(Operator):
    orders: int = 0

    def handlers(self) -> dict[str, Handler]:
        return {
            "POST /orders": self.reserve,
            "POST /orders/1/commit": self.commit,
            f"GET /sims/{self.iccid}": lambda _: json_response(self.card()),
            "GET /ping": lambda _: json_response("pong"),
        }

    def card(self) -> dict[str, Any]:
        return {"sim": {"iccid": self.iccid, "st": 1 if self.on else 2}}

    def reserve(self, request: Request) -> Response:
        self.orders += 1
        self.wanted = request.json()["st"] == 1
        links = {"self": "/orders/1", "commit": {"href": "/orders/1/commit?step=2"}}
        return json_response({"iccid": request.json()["iccid"], "links": links}, 201)

    def commit(self, request: Request) -> Response:
        assert request.query == {"step": ["2"]}
        self.switch(self.wanted)
        return json_response(self.card())


def dvina_call(state: int) -> dict[str, Any]:
    return {
        "prepare": {
            "method": "POST",
            "path": "/orders",
            "body": {"kind": "json", "template": {"iccid": "{iccid}", "st": state}},
            "success": [201],
            "answer": {"iccid": "iccid", "take": {"commit": "links.commit.href:link"}},
        },
        "method": "POST",
        "path": "{commit}",
        "success": {"200": "state"},
        "answer": {"iccid": "sim.iccid", "state": "sim.st"},
    }


DVINA = {
    "title": "Двина",
    "login": {"kind": "basic"},
    "calls": {
        "activate": dvina_call(1),
        "deactivate": dvina_call(2),
        "read": {"path": "/sims/{iccid}", "answer": {"iccid": "sim.iccid", "state": "sim.st"}},
        "ping": {"path": "/ping"},
    },
    "states": {"words": {"1": "active", "2": "inactive"}},
}
DVINA_KEYS = {"username": "kassa", "password": SECRET}


# --- JSON-RPC with an answer's number, the whole resource is sent back -------------------------------------


class Pechora(Operator):
    def handlers(self) -> dict[str, Handler]:
        return {"POST /rpc": self.rpc}

    def card(self) -> dict[str, Any]:
        owner = {"title": "ООО «Тайное имя»", "tariff": [{"id": 5}]}
        return {"iccid": self.iccid, "owner": owner, "limit": None, "state": {"code": 1 + self.on}}

    def rpc(self, request: Request) -> Response:
        asked = request.json()
        assert (asked["jsonrpc"], isinstance(asked["id"], int)) == ("2.0", True)
        if request.headers.get("cookie") != f"auth={SECRET}":
            error = {"code": -32001, "message": "who are you"}
            return json_response({"jsonrpc": "2.0", "id": None, "error": error})
        if asked["method"] == "sim.put":
            given = asked["params"]["sim"]
            assert given == {**self.card(), "state": given["state"]}
            self.switch(given["state"]["code"] == 2)
        return json_response({"jsonrpc": "2.0", "id": asked["id"], "result": self.card()})


def pechora_call(method: str, params: Any, **more: Any) -> dict[str, Any]:
    template = {"jsonrpc": "2.0", "id": "{now_ms}", "method": method, "params": params}
    return {
        "method": "POST",
        "path": "/rpc",
        "body": {"kind": "json", "template": template, **more},
    }


def pechora_put(code: int) -> dict[str, Any]:
    get = pechora_call("sim.get", {"iccid": "{iccid}"})
    envelope = {"iccid": "result.iccid", "echo": {"id": "{now_ms}"}}
    return {
        "prepare": get | {"answer": envelope | {"take": {"sim": "result"}}},
        **pechora_call("sim.put", {"sim": {"...": "{sim}", "state": {"code": code}}}),
        "success": {"200": "state"},
        "answer": envelope | {"state": "result.state.code"},
    }


PECHORA = {
    "title": "Печора",
    "login": {"kind": "key", "place": {"in": "cookie", "name": "auth"}},
    "calls": {
        "activate": pechora_put(2),
        "deactivate": pechora_put(1),
        "read": pechora_call("sim.get", {"iccid": "{iccid}"})
        | {"answer": {"iccid": "result.iccid", "state": "result.state.code"}},
        "ping": pechora_call("ping", []),
    },
    "states": {"words": {"1": "inactive", "2": "active"}},
    "errors": {"code": "error.code", "text": "error.message", "codes": {"-32001": "auth"}},
}
PECHORA_KEYS = {"api_key": SECRET}
