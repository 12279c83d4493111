"""Operators in the shapes of public manuals, whose descriptions were written by the guide alone.

Twilio/KORE Super SIM (docs/iot/supersim/api/sim-resource) and emnify (OpenAPI of api/v1) with a server; Hologram
and Soracom as descriptions only. All keys and cards are invented.
"""

from base64 import b64encode
from typing import Any

from cabinet.sandbox.http import Request, Response, json_response
from operators.tests.declarative_server import EXAMPLES, Handler, document
from operators.tests.vendors import SECRET, Vendor, guarded

ACCOUNT = "AC" + "0" * 32


class SuperSim(Vendor):
    """A form is answered by 202 and `scheduled`; a while later the list shows the new status."""

    def handlers(self) -> dict[str, Handler]:
        key = b64encode(f"{ACCOUNT}:{SECRET}".encode()).decode()
        refusal = json_response({"code": 20003, "message": "Authenticate", "status": 401}, 401)
        calls = {"POST /Sims/HS7": self.post, "GET /Sims": self.list}
        return {
            line: guarded("authorization", f"Basic {key}", handler, refusal)
            for line, handler in calls.items()
        }

    def card(self) -> dict[str, Any]:
        word = "scheduled" if self.wanted is not None else "active" if self.on else "inactive"
        return {"sid": "HS7", "unique_name": "Иванова Анна", "account_sid": ACCOUNT, "iccid": self.iccid,
                "status": word, "fleet_sid": None, "date_created": "2026-01-01T00:00:00Z",
                "links": {"billing_periods": "https://supersim.twilio.com/v1/Sims/HS7/BillingPeriods"}}  # fmt: skip

    def post(self, request: Request) -> Response:
        self.promise(request.form.to_dict() == {"Status": "active"})
        return json_response(self.card(), 202)

    def list(self, request: Request) -> Response:
        is_asked = request.args.get("Iccid") == self.iccid
        if is_asked:
            self.asked()
        return json_response({"sims": [self.card()] if is_asked else [], "meta": {"key": "sims"}})


class Emnify(Vendor):
    """A token for a token; ids of its own; 204 to a switch; states are numbers in an object."""

    def handlers(self) -> dict[str, Handler]:
        refusal = json_response(
            {"error_code": 401, "error_token": "Unauthorized", "message": "token missing"}, 401
        )
        calls = {"PATCH /sim/10042": self.patch, "GET /sim": self.list}
        return {"POST /authenticate": self.authenticate} | {
            line: guarded("authorization", "Bearer emnify.jwt.1", handler, refusal)
            for line, handler in calls.items()
        }

    def authenticate(self, request: Request) -> Response:
        if request.json != {"application_token": SECRET}:
            return json_response({"error_token": "Unauthorized", "message": "wrong token"}, 401)
        return json_response({"auth_token": "emnify.jwt.1", "refresh_token": "emnify.jwt.2"})

    def card(self) -> dict[str, Any]:
        status = (
            {"id": 1, "description": "Activated"}
            if self.on
            else {"id": 2, "description": "Suspended"}
        )
        return {"id": 10042, "iccid": self.iccid[:-1], "iccid_with_luhn": self.iccid, "status": status,
                "msisdn": "423663920000001", "endpoint": {"id": 5, "name": "Иванова Анна"}}  # fmt: skip

    def patch(self, request: Request) -> Response:
        self.switch(request.json == {"status": {"id": 1}})
        return Response(status=204)

    def list(self, request: Request) -> Response:
        is_asked = request.args.get("q") in {None, f"iccid:{self.iccid[:-1]}"}
        return json_response([self.card()] if is_asked else [], X_Total_Count="1")


SUPER_SIM = document(EXAMPLES / "super-sim-like.json")
SUPER_SIM_KEYS = {"username": ACCOUNT, "password": SECRET}
EMNIFY = document(EXAMPLES / "emnify-like.json")
EMNIFY_KEYS = {"application_token": SECRET}


# --- descriptions alone ---------------------------------------------------------------------------------

_LINK = {"path": "/links/cellular", "query": {"sim": "{iccid}"}}
HOLOGRAM: dict[str, Any] = {
    "title": "По образцу Hologram",
    "base_url": "https://dashboard.hologram.io/api/1",
    "login": {"kind": "basic"},
    "calls": {
        name: {"method": "POST", "path": "/links/cellular/{id}/state", "json": {"state": word}}
        for name, word in (("activate", "live"), ("deactivate", "pause"))
    }
    | {"find": _LINK | {"answer": {"rows": "body.data", "iccid": "row.sim", "take": {"id": "row.id"}}},
       "read": _LINK | {"answer": {"rows": "body.data", "iccid": "row.sim", "state": "row.state"}}},
    "states": {"words": {"LIVE": "active", "LIVE-PENDING": "pending", "PAUSED-USER": "inactive",
                         "PAUSED-PENDING-USER": "pending", "PAUSED-SYS": "held:operator", "INACTIVE": "new",
                         "DEAD": "retired"}},
    "errors": {"code": "body.success", "text": "body.error", "codes": {"false": "unknown_outcome"}},
}  # fmt: skip

SORACOM: dict[str, Any] = {
    "title": "По образцу Soracom",
    "base_url": "https://g.api.soracom.io/v1",
    "fields": [{"name": "auth_key_id", "label": "Auth key ID", "secret": False},
               {"name": "auth_key", "label": "Auth key"}],
    "login": {
        "kind": "token_call",
        "steps": [{"path": "/auth", "json": {"authKeyId": "{auth_key_id}", "authKey": "{auth_key}"},
                   "take": {"api_key": "body.apiKey", "token": "body.token"}}],
        "keys": [{"field": "api_key", "in": "header", "name": "X-Soracom-API-Key"},
                 {"field": "token", "in": "header", "name": "X-Soracom-Token"}],
    },
    "calls": {
        "find": {"path": "/query/sims", "query": {"iccid": "{iccid}"},
                 "answer": {"rows": "body", "iccid": "row.profiles.*.iccid", "take": {"sim_id": "row.simId"}}},
        "activate": {"method": "POST", "path": "/sims/{sim_id}/activate",
                     "answer": {"iccid": "body.profiles.*.iccid", "state": "body.status"}},
        "deactivate": {"method": "POST", "path": "/sims/{sim_id}/suspend",
                       "answer": {"iccid": "body.profiles.*.iccid", "state": "body.status"}},
        "read": {"path": "/sims/{sim_id}",
                 "answer": {"iccid": "body.profiles.*.iccid", "state": "body.status"}},
    },
    "states": {"words": {"ready": "new", "active": "active", "inactive": "inactive", "suspended": "inactive",
                         "standby": "inactive", "terminated": "retired"}},
    "errors": {"code": "body.code", "text": "body.message"},
}  # fmt: skip
