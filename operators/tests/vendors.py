"""Operators of the kinds that exist, each a small server with one card, and its description.

1NCE, Telnyx and TMF640 answer in their vendors' shapes (docs of 1nce-mcp-server `sim.json`, Telnyx openapi 2.0.0,
TMF640 v4 swagger). The others are invented, each for a kind of API; all keys and cards are.
"""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from cabinet.sandbox.http import Request, Response, json_response
from operators.tests.declarative_server import EXAMPLES, Handler, document

SECRET = "tajna-sosny-77"
LATER = "2027-01-01T00:00:00Z"


@dataclass
class Vendor:
    """One card and what was done to it; `reads_until_done`: how many questions an asynchronous switch takes."""

    iccid: str = ""
    on: bool = False
    done: list[str] = field(default_factory=list)
    wanted: bool | None = None
    reads_until_done: int = 1
    url: str = ""

    def switch(self, on: bool) -> None:
        self.on, self.wanted = on, None
        self.done.append("on" if on else "off")

    def promise(self, on: bool) -> None:
        self.wanted = on

    def asked(self) -> None:
        """One question nearer to the end of what was promised."""
        self.reads_until_done -= 1
        if self.reads_until_done <= 0 and self.wanted is not None:
            self.switch(self.wanted)

    def handlers(self) -> dict[str, Handler]:
        raise NotImplementedError


def basic(user: str) -> str:
    return f"Basic {b64encode(f'{user}:{SECRET}'.encode()).decode()}"


def guarded(name: str, value: str, handler: Handler, refusal: Response) -> Handler:
    return lambda request: handler(request) if request.headers.get(name) == value else refusal


# --- 1NCE: a synchronous PUT that returns the new state -----------------------------------------------------


class Nce(Vendor):
    def handlers(self) -> dict[str, Handler]:
        bare, refusal = self.iccid[:-1], json_response({"message": "Unauthorized"}, 401)
        calls = {f"PUT /v2/sims/{bare}": self.put, f"GET /v2/sims/{bare}": self.get,
                 "GET /v1/sims": lambda _: json_response([self.card()], X_Total_Count="1")}  # fmt: skip
        return {"POST /oauth/token": self.token} | {
            line: guarded("authorization", "Bearer nce-token", handler, refusal)
            for line, handler in calls.items()
        }

    def token(self, request: Request) -> Response:
        if request.headers.get("authorization") != basic("kassa"):
            body = {"statusCode": 401, "errorCode": "AuthenticationError", "message": "bad client"}
            return json_response(body, 401)
        assert request.json == {"grant_type": "client_credentials"}
        token = {"access_token": "nce-token", "token_type": "bearer", "expires_in": 3600}
        return json_response(token)

    def card(self) -> dict[str, Any]:
        return {"iccid": self.iccid[:-1], "iccid_with_luhn": self.iccid, "imsi": "901405100000001",
                "msisdn": "882285000000001", "imei": "356938035643809", "imei_lock": False,
                "status": "Enabled" if self.on else "Disabled", "label": "Иванова Анна",
                "activation_date": "2026-01-01T00:00:00.000+0000", "ip_address": "10.0.0.1"}  # fmt: skip

    def get(self, _request: Request) -> Response:
        return json_response(self.card())

    def put(self, request: Request) -> Response:
        self.switch(request.json["status"] == "Enabled")
        return json_response(self.card())


NCE = document(EXAMPLES / "1nce-like.json")
CLIENT = {"client_id": "kassa", "client_secret": SECRET}


# --- Telnyx: 202 with an action to poll, cards found in a list ---------------------------------------------


class Telnyx(Vendor):
    number = "6a09cdc3-8948-47f0-aa62-74ac943d6c58"

    def handlers(self) -> dict[str, Handler]:
        refusal = json_response(
            {"errors": [{"code": "10009", "title": "Authentication failed"}]}, 401
        )
        actions = f"/sim_cards/{self.number}/actions"
        calls = {
            "GET /sim_cards": self.list,
            f"POST {actions}/enable": lambda request: self.act("enable", True),
            f"POST {actions}/set_standby": lambda request: self.act("set_standby", False),
            "GET /sim_card_actions/act-1": lambda request: self.action(),
        }
        return {
            line: guarded("authorization", f"Bearer {SECRET}", handler, refusal)
            for line, handler in calls.items()
        }

    def list(self, _request: Request) -> Response:
        moving = {True: "enabling", False: "setting_standby", None: ""}[self.wanted]
        status = {"value": moving or ("enabled" if self.on else "standby"), "reason": "requested"}
        other = {"id": "other", "iccid": "8901260000000000000", "status": {"value": "enabled"}}
        card = {"record_type": "sim_card", "id": self.number, "iccid": self.iccid, "status": status,
                "msisdn": "+13109976224", "current_imei": "457032284023794", "tags": ["Анна"],
                "actions_in_progress": bool(moving)}  # fmt: skip
        meta = {"total_pages": 1, "total_results": 2, "page_number": 1, "page_size": 20}
        return json_response({"data": [other, card], "meta": meta})

    def act(self, kind: str, on: bool) -> Response:
        self.promise(on)
        return json_response({"data": self.row(kind, "in-progress")}, 202)

    def row(self, kind: str, value: str) -> dict[str, Any]:
        status = {"value": value, "reason": "Transitioning"}
        return {"id": "act-1", "sim_card_id": self.number, "record_type": "sim_card_action",
                "action_type": kind, "status": status, "settings": None}  # fmt: skip

    def action(self) -> Response:
        self.asked()
        value = "completed" if self.wanted is None else "in-progress"
        return json_response({"data": self.row("enable", value)})


TELNYX = document(EXAMPLES / "telnyx-like.json")
TOKEN = {"token": SECRET}


# --- a partner by TMF640: PATCH, 202 with Location of a monitor --------------------------------------------


class Partner(Vendor):
    number = "5351"

    def handlers(self) -> dict[str, Handler]:
        refusal = json_response({"code": "401", "reason": "Unauthorized"}, 401)
        calls = {
            "GET /service": lambda request: json_response([self.service()], 206),
            f"PATCH /service/{self.number}": self.patch,
            "GET /monitor/44555": self.monitor,
        }
        return {"POST /token": self.token} | {
            line: guarded("authorization", "Bearer tmf-token", handler, refusal)
            for line, handler in calls.items()
        }

    def token(self, request: Request) -> Response:
        assert request.form.to_dict() == {"grant_type": "client_credentials"}
        right = request.headers.get("authorization") == basic("kassa")
        body = (
            {"access_token": "tmf-token", "expires_in": "3600"}
            if right
            else {"error": "invalid_client"}
        )
        return json_response(body, 200 if right else 401)

    def service(self) -> dict[str, Any]:
        return {"id": self.number, "href": f"{self.url}/service/{self.number}", "name": "Иванова Анна",
                "state": "active" if self.on else "inactive", "@type": "Service",
                "supportingResource": [{"id": "r-1", "iccid": self.iccid, "@referredType": "SIM"}]}  # fmt: skip

    def patch(self, request: Request) -> Response:
        self.promise(request.json["state"] == "active")
        body = {"id": "44555", "state": "InProgress", "sourceHref": f"{self.url}/service/5351"}
        return json_response(body, 202, Location=f"{self.url}/monitor/44555")

    def monitor(self, _request: Request) -> Response:
        self.asked()
        # The vendor's sample file writes it in lower case.
        state = "completed" if self.wanted is None else "InProgress"
        answer = {"statusCode": "201", "body": "Actived Mobile Line", "header": []}
        return json_response({"id": "44555", "state": state, "response": answer})


TMF640 = document(EXAMPLES / "tmf640.json")


# --- a form with a key in the query; the state is a number in a list -----------------------------------------


class Ladoga(Vendor):
    def handlers(self) -> dict[str, Handler]:
        return {f"POST /api/cards/{self.iccid}": self.keyed(self.change), "GET /api/cards": self.keyed(self.cards),
                "GET /api/hello": self.keyed(lambda _: json_response({"ok": True}))}  # fmt: skip

    def keyed(self, handler: Handler) -> Handler:
        def checked(request: Request) -> Response:
            right = request.args.to_dict(flat=False).get("apikey") == [SECRET]
            errors = {"errors": [{"code": 1003, "message": "wrong key of Иванова"}]}
            return handler(request) if right else json_response(errors, 403)

        return checked

    def card(self) -> dict[str, Any]:
        return {
            "card": {"icc": f"{self.iccid}F", "holder": "Иванова"},
            "st": [{"n": 1 if self.on else 2}],
        }

    def change(self, request: Request) -> Response:
        self.switch(request.form.to_dict() == {"state": "1"})
        return json_response({"result": [self.card()]}, 201)

    def cards(self, _request: Request) -> Response:
        other = {"card": {"icc": "89700000000000000000"}, "st": [{"n": 1}]}
        return json_response({"result": [other, self.card()]})


_LADOGA_CARD = {"rows": "body.result", "iccid": "row.card.icc", "state": "row.st[0].n"}
LADOGA = {
    "title": "Ладога",
    "fields": [{"name": "api_key", "label": "Ключ API"}],
    "login": {"kind": "keys", "keys": [{"field": "api_key", "in": "query", "name": "apikey"}]},
    "calls": {
        name: {"method": "POST", "path": "/api/cards/{iccid}", "form": {"state": code},
               "answer": _LADOGA_CARD}
        for name, code in (("activate", "1"), ("deactivate", "2"))
    }
    | {"read": {"path": "/api/cards", "query": {"icc": "{iccid}"}, "answer": _LADOGA_CARD},
       "ping": {"path": "/api/hello"}},
    "states": {"words": {"1": "active", "2": "inactive"}},
    "errors": {"code": "body.errors[0].code", "text": "body.errors[0].message",
               "codes": {"1003": "auth", "1044": "held_by_operator"}},
}  # fmt: skip
LADOGA_KEYS = {"api_key": SECRET}


# --- a session that is opened in two steps; empty answers, numbers as states -------------------------------


class Dvina(Vendor):
    def handlers(self) -> dict[str, Handler]:
        card = f"/m2m/cards/{self.iccid}"
        return {"POST /oauth2/token": self.token, "POST /m2m/session/login": self.session,
                f"PUT {card}/state": self.known(self.put), f"GET {card}/state": self.known(self.get),
                "GET /m2m/ping": self.known(lambda _: Response(status=204))}  # fmt: skip

    def token(self, request: Request) -> Response:
        right = request.headers.get("authorization") == basic("app")
        return json_response(
            {"access_token": "bearer-1", "expires_in": 1} if right else {}, 200 if right else 401
        )

    def session(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer bearer-1"
        right = request.json == {"username": "kassa", "password": SECRET}
        return json_response(
            {"session": {"id": "s-1"}, "life": "600"} if right else {}, 200 if right else 401
        )

    def known(self, handler: Handler) -> Handler:
        def checked(request: Request) -> Response:
            given = (request.headers.get("authorization"), request.headers.get("x-session"))
            return handler(request) if given == ("Bearer bearer-1", "s-1") else Response(status=401)

        return checked

    def put(self, request: Request) -> Response:
        assert isinstance(request.json["number"], int)
        self.switch(request.json["mode"] == 1)
        return Response(status=204)

    def get(self, _request: Request) -> Response:
        return json_response({"mode": 1 if self.on else 0, "block": None if self.on else "client"})


DVINA = {
    "title": "Двина",
    "fields": [{"name": "app", "label": "Приложение", "secret": False}, {"name": "app_secret", "label": "Секрет"},
               {"name": "username", "label": "Имя", "secret": False}, {"name": "password", "label": "Пароль"}],
    "login": {
        "kind": "token_call",
        "steps": [
            {"path": "/oauth2/token", "basic": ["app", "app_secret"],
             "form": {"grant_type": "client_credentials"}, "take": {"access": "body.access_token"}},
            {"path": "/m2m/session/login", "json": {"username": "{username}", "password": "{password}"},
             "take": {"session": "body.session.id"}},
        ],
        "seconds": "body.life",
        "keys": [{"field": "access", "in": "header", "name": "Authorization", "prefix": "Bearer "},
                 {"field": "session", "in": "header", "name": "X-Session"}],
    },
    "calls": {
        name: {"method": "PUT", "path": "/m2m/cards/{iccid}/state",
               "json": {"mode": mode, "number": "{msisdn:int}"}}
        for name, mode in (("activate", 1), ("deactivate", 0))
    }
    | {"read": {"path": "/m2m/cards/{iccid}/state",
                "answer": {"state": "body.mode", "reason": "body.block"}},
       "ping": {"path": "/m2m/ping"}},
    "states": {"words": {"1": "active", "0": "inactive"}, "reasons": {"client": "voluntary", "debt": "debt"}},
}  # fmt: skip
DVINA_KEYS = {"app": "app", "app_secret": SECRET, "username": "kassa", "password": SECRET}


# --- the whole card is read, changed and put back under its version -----------------------------------------


class Pechora(Vendor):
    def handlers(self) -> dict[str, Handler]:
        path, refusal = f"/sims/{self.iccid}", Response(status=401)
        calls = {f"GET {path}": self.get, f"PUT {path}": self.put}
        return {
            line: guarded("authorization", basic("kassa"), handler, refusal)
            for line, handler in calls.items()
        }

    def card(self) -> dict[str, Any]:
        owner = {"title": "ООО «Тайное имя»", "tariff": [{"id": 5}]}
        return {"iccid": int(self.iccid), "owner": owner, "limit": None, "blocks": self.blocks()}

    def blocks(self) -> list[dict[str, Any]]:
        return [] if self.on else [{"type": "client", "since": LATER}]

    def get(self, _request: Request) -> Response:
        return json_response(self.card(), ETag=f'"v{len(self.done)}"')

    def put(self, request: Request) -> Response:
        if request.headers.get("if-match") != f'"v{len(self.done)}"':
            return json_response({"error": "VERSION"}, 412)
        given = request.json
        assert given == {**self.card(), "blocks": given["blocks"]}
        self.switch(given["blocks"] == [])
        return json_response(self.card())


def _pechora_put(blocks: list[Any]) -> dict[str, Any]:
    answer = {"iccid": "body.iccid", "take": {"card": "body", "version": "headers.etag"}}
    return {
        "prepare": {"path": "/sims/{iccid}", "answer": answer},
        "method": "PUT",
        "path": "/sims/{iccid}",
        "headers": {"If-Match": "{version}"},
        "json": {"...": "{card}", "blocks": blocks},
        "answer": {"iccid": "body.iccid", "state": "body.blocks[*].type"},
    }


PECHORA = {
    "title": "Печора",
    "login": {"kind": "basic"},
    "calls": {
        "activate": _pechora_put([]),
        "deactivate": _pechora_put([{"type": "client"}]),
        "read": {"path": "/sims/{iccid}",
                 "answer": {"iccid": "body.iccid", "state": "body.blocks[*].type"}},
        "ping": {"path": "/sims/{probe}"},
    },
    "fields": [{"name": "probe", "label": "Карта для проверки", "secret": False}],
    "states": {"words": {"client": "inactive", "debt": "held:debt"}, "absent": "active"},
    "errors": {"code": "body.error", "codes": {"VERSION": "conflict_pending"}},
}  # fmt: skip
PECHORA_KEYS = {"username": "kassa", "password": SECRET, "probe": ""}


# --- a form that is answered with the old state and a word that a switch is under way ----------------------


class Neva(Vendor):
    """Like Super SIM (KORE): `Status=active` is answered by 200, by 202, or with the status as it was."""

    status = 200

    def handlers(self) -> dict[str, Handler]:
        key, refusal = f"Key {SECRET}", json_response({"code": 20003}, 401)
        path = f"/Sims/{self.iccid}"
        calls = {f"POST {path}": self.post, f"GET {path}": self.get, "GET /Sims": self.pages}
        return {
            line: guarded("x-api-key", key, handler, refusal) for line, handler in calls.items()
        }

    def card(self) -> dict[str, Any]:
        word = "scheduled" if self.wanted is not None else "active" if self.on else "inactive"
        return {"sid": "HS1", "iccid": self.iccid, "status": word, "account": "Иванова"}

    def post(self, request: Request) -> Response:
        self.promise(request.form.to_dict()["Status"] == "active")
        return json_response(self.card(), self.status)

    def get(self, _request: Request) -> Response:
        self.asked()
        return json_response(self.card())

    def pages(self, request: Request) -> Response:
        rows = (
            [self.card()]
            if request.args.to_dict(flat=False).get("Page") == ["2"]
            else [{"iccid": "8970", "status": "ready"}]
        )
        link = (
            f'<{self.url}/Sims?Page=2&api_key={SECRET}>; rel="next", <{self.url}/Sims>; rel="first"'
        )
        more = {} if "Page" in request.args.to_dict(flat=False) else {"Link": link}
        return json_response({"sims": rows}, 200, **more)


NEVA = {
    "title": "Нева",
    "fields": [{"name": "api_key", "label": "Ключ API"}],
    "login": {"kind": "keys", "keys": [
        {"field": "api_key", "in": "header", "name": "X-Api-Key", "prefix": "Key "},
        {"field": "api_key", "in": "query", "name": "api_key"}]},
    "calls": {
        name: {"method": "POST", "path": "/Sims/{iccid}", "form": {"Status": word},
               "answer": {"iccid": "body.iccid", "state": "body.status"}}
        for name, word in (("activate", "active"), ("deactivate", "inactive"))
    }
    | {"read": {"path": "/Sims/{iccid}", "answer": {"iccid": "body.iccid", "state": "body.status"}},
       "list_changes": {"path": "/Sims", "query": {"After": "{since_unix}"},
                        "answer": {"rows": "body.sims", "iccid": "row.iccid", "state": "row.status",
                                   "next": {"link": "headers.link"}}},
       "ping": {"path": "/Sims"}},
    "states": {"words": {"new": "new", "ready": "new", "active": "active", "inactive": "inactive",
                         "scheduled": "pending"}},
    "times": {"poll_plan": [2, 5]},
}  # fmt: skip

NEVA_KEYS = {"api_key": SECRET}


# --- a numeric state deep in the answer, a 202 with a link to an action, numbered pages ---------------------


class Onega(Vendor):
    def handlers(self) -> dict[str, Handler]:
        refusal = json_response({"errors": [{"code": 16, "detail": "no access"}]}, 403)
        calls = {
            "PUT /v1/esim/7/power": self.power,
            "GET /v1/esim": self.page,
            "GET /v1/actions/a-5": self.action,
        }
        return {call: guarded("x-key", SECRET, handler, refusal) for call, handler in calls.items()}

    def card(self) -> dict[str, Any]:
        power = {"mode": {"id": 1 if self.on else 2, "title": "Режим"}, "since": LATER}
        return {"id": 7, "profile": {"iccid": self.iccid}, "power": [power]}

    def power(self, request: Request) -> Response:
        self.promise(request.json == {"data": {"mode": 1}})
        links = {"self": f"{self.url}/v1/actions/a-5?full=1"}
        return json_response({"data": {"links": links, "status": {"id": 10}}}, 202)

    def action(self, _request: Request) -> Response:
        self.asked()
        status = {"id": 30 if self.wanted is None else 20}
        return json_response({"data": {"id": "a-5", "status": status, "holder": "Иванова"}})

    def page(self, request: Request) -> Response:
        other = {"id": 8, "profile": {"iccid": "8970"}, "power": [{"mode": {"id": 2}}]}
        rows = [self.card()] if request.args.get("page", "0") in {"0", "1"} else []
        return json_response({"data": {"items": [other, *rows]}})


_ONEGA_CARD = {"rows": "body.data.items", "iccid": "row.profile.iccid"}
_ONEGA_STATE = {**_ONEGA_CARD, "state": "row.power[0].mode.id"}
ONEGA = {
    "title": "Онега",
    "fields": [{"name": "api_key", "label": "Ключ API"}],
    "login": {"kind": "keys", "keys": [{"field": "api_key", "in": "header", "name": "X-Key"}]},
    "calls": {
        name: {"method": "PUT", "path": "/v1/esim/{id}/power", "json": {"data": {"mode": mode}},
               "answer": {"request_id": "body.data.links.self"}}
        for name, mode in (("activate", 1), ("deactivate", 2))
    }
    | {"find": {"path": "/v1/esim", "query": {"iccid": "{iccid}"},
                "answer": {**_ONEGA_CARD, "take": {"id": "row.id"}}},
       "read": {"path": "/v1/esim", "query": {"iccid": "{iccid}"}, "answer": _ONEGA_STATE},
       "check": {"path": "/v1/actions/{request_id}",
                 "answer": {"request_id": "body.data.id", "result": "body.data.status.id"}},
       "list_changes": {"path": "/v1/esim", "query": {"since": "{since_unix}", "page": "{cursor}"},
                        "answer": {**_ONEGA_STATE, "next": {"page": {"first": 0, "size": 2}}}},
       "ping": {"path": "/v1/esim"}},
    "states": {"words": {"1": "active", "2": "inactive"}},
    "results": {"words": {"10": "pending", "20": "pending", "30": "done", "40": "failed"}},
    "errors": {"code": "body.errors[*].code", "text": "body.errors[*].detail",
               "codes": {"16": "auth", "17": "not_found"}},
}  # fmt: skip
ONEGA_KEYS = {"api_key": SECRET}
