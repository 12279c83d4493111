"""Encrypted fields: unreadable in the database, readable after a rotation, loud with a wrong key."""

import pytest
from cryptography.fernet import Fernet

from cabinet.crypto import Undecryptable, decrypt, encrypt, fingerprint

OLD, NEW, FOREIGN = (Fernet.generate_key().decode() for _ in range(3))


def test_text_comes_back_and_never_looks_the_same_twice(settings):
    settings.FIELD_KEYS = [OLD]

    first, second = encrypt("пароль договора"), encrypt("пароль договора")

    assert first != second
    assert "пароль" not in first
    assert decrypt(first) == "пароль договора"
    assert decrypt(second) == "пароль договора"


def test_key_rotation_reads_old_text_and_encrypts_with_new_key(settings):
    settings.FIELD_KEYS = [OLD]
    written_before = encrypt("secret")
    settings.FIELD_KEYS = [NEW, OLD]
    written_after = encrypt("secret")

    read = {"before": decrypt(written_before), "after": decrypt(written_after)}
    settings.FIELD_KEYS = [NEW]

    assert read == {"before": "secret", "after": "secret"}
    assert decrypt(written_after) == "secret"
    with pytest.raises(Undecryptable):
        decrypt(written_before)


def test_wrong_key_is_refused(settings):
    settings.FIELD_KEYS = [OLD]
    stored = encrypt("secret")
    settings.FIELD_KEYS = [FOREIGN]

    with pytest.raises(Undecryptable):
        decrypt(stored)


def test_text_changed_in_the_database_is_refused(settings):
    settings.FIELD_KEYS = [OLD]
    stored = encrypt("secret")
    changed = stored[:30] + ("A" if stored[30] != "A" else "B") + stored[31:]

    with pytest.raises(Undecryptable):
        decrypt(changed)


def test_fingerprint_depends_on_secret_and_key(settings):
    settings.SECRET_KEY = "one"
    first = fingerprint("token")
    again = fingerprint("token")
    other = fingerprint("Token")
    settings.SECRET_KEY = "two"

    assert first == again
    assert len({first, other, fingerprint("token")}) == 3
