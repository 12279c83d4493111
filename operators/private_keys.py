"""Names of fields whose values are a secret or a person's, in English, Russian and Russian in Latin letters."""

import re
from functools import lru_cache

_SECRET_KEYS = (
    "token", "secret", "passw", "pwd", "apikey", "accesskey", "privatekey", "authoriz", "credential",
    "cookie", "session", "signature", "clientid", "bearer", "парол",
)  # fmt: skip
_SECRET_WORDS = frozenset(
    {"key", "auth", "login", "username", "user", "sign", "sig", "pin", "pin1", "pin2", "puk", "puk1",
     "puk2", "otp", "jwt", "assertion", "sid", "sessid"}
)  # fmt: skip
_PERSONAL_KEYS = (
    "firstname", "lastname", "middlename", "surname", "patronymic", "fullname", "displayname",
    "familyname", "givenname", "customername", "contactname", "ownername", "subscribername",
    "accountname", "companyname",
    "passport", "birth", "address", "street", "email", "document", "snils", "gender", "nationality",
    "contact", "individual", "фамили", "отчеств", "паспорт", "рожден", "адрес", "снилс",
)  # fmt: skip
_PERSONAL_WORDS = frozenset(
    {
        "name",
        "fio",
        "inn",
        "kpp",
        "фио",
        "имя",
        "инн",
        "adr",
        "dr",
        "dob",
        "др",
        "fam",
        "imia",
        "otch",
    }
)
# A person's unless the rest of the word says that a state is told: «status_dogovora».
_RUSSIAN_KEYS = (
    "famili", "familiy", "imya", "otchestv", "vladel", "dogovor", "adres", "pasport", "rozhd", "rojd",
    "ulits", "ulic", "grazhdan", "владел", "договор",
)  # fmt: skip
_STATES = ("status", "state", "sostoyan", "статус", "состоян")
# Somebody who has a card: a bare text is a name, an object may hold the card's own facts.
_ROLES = frozenset(
    {"owner", "abonent", "client", "klient", "subscriber", "customer", "holder", "person", "abon",
     "абонент", "клиент", "владелец"}
)  # fmt: skip
_OF_A_PERSON = frozenset(
    {"name", "names", "fio", "title", "phone", "имя", "фио", "familia", "birthday"}
)
_NOT_A_LETTER = re.compile(r"[\W_]+")


@lru_cache(maxsize=4096)
def hides(key: str) -> bool:
    """Whether a value under this key is a secret or a person's."""
    bare = _bare(key)
    return (
        bare in _SECRET_WORDS
        or bare in _PERSONAL_WORDS
        or any(part in bare for part in _SECRET_KEYS)
        or any(part in bare for part in _PERSONAL_KEYS)
        or _is_of_a_role(bare)
        or _is_russian(bare)
    )


def is_role(key: str) -> bool:
    """Whether the key names somebody: `owner`, `abonent`. An object there is looked through, not hidden."""
    return _bare(key) in _ROLES


def _bare(key: str) -> str:
    return _NOT_A_LETTER.sub("", key.rpartition(":")[2].casefold())


def _is_of_a_role(bare: str) -> bool:
    return bare in _ROLES or any(
        bare.startswith(role) and bare.removeprefix(role) in _OF_A_PERSON for role in _ROLES
    )


def _is_russian(bare: str) -> bool:
    said = any(part in bare for part in _RUSSIAN_KEYS)
    return said and not any(part in bare for part in _STATES)
