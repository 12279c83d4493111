"""Who works in a company. There is always an owner."""

from datetime import datetime

from django.db import transaction

from cabinet import audit, rules
from cabinet.actors import Actor
from cabinet.errors import NotAllowed, Refused
from cabinet.models import Member, Merchant, User
from cabinet.services import people
from cabinet.states import ActorKind, Right, Role


class TeamRefused(Refused):
    """The team cannot be changed like this."""


@transaction.atomic
def add_member(
    *, merchant: Merchant, phone: str, name: str, role: Role, by: Actor, at: datetime
) -> Member:
    """A person of the company from now on. A name they gave themselves stays.

    Raises NotAllowed, TeamRefused where they are in the team already, people.NotAWayIn for a phone of staff.
    """
    _check_may_manage(by)
    Merchant.objects.select_for_update().get(pk=merchant.pk)
    people.check_may_own(phone)
    user = User.objects.for_phone(phone)
    if Member.objects.of(merchant).filter(user=user).exists():
        raise TeamRefused("Этот человек уже есть среди сотрудников.")
    _name_once(user, name)
    member = Member.objects.create(merchant=merchant, user=user, role=role, created_at=at)
    _note(member, "member.added", f"Добавлен сотрудник: {user.shown_name}, {role.label}", by, at)
    return member


def _name_once(user: User, name: str) -> None:
    if name and not user.name:
        user.name = name
        user.save(update_fields=["name"])


@transaction.atomic
def change_role(*, member: Member, role: Role, by: Actor, at: datetime) -> None:
    """Another role within the company. Raises NotAllowed, TeamRefused for the last owner."""
    _check_may_manage(by)
    member = _locked(member)
    before = Role(member.role)
    if before == role:
        return
    _check_owner_remains(
        member, "Это единственный владелец: сначала назначьте владельцем кого-то ещё."
    )
    member.role = role
    member.save(update_fields=["role"])
    text = f"{member.user.shown_name}: был {before.label}, стал {role.label}"
    _note(member, "member.role_changed", text, by, at)


@transaction.atomic
def remove_member(*, member: Member, by: Actor, at: datetime) -> None:
    """The person loses access to this company at once. Raises NotAllowed, TeamRefused for the last owner."""
    _check_may_manage(by)
    member = _locked(member)
    _check_owner_remains(
        member, "Единственного владельца убрать нельзя: у компании всегда есть владелец."
    )
    _note(member, "member.removed", f"Убран сотрудник: {member.user.shown_name}", by, at)
    member.delete()


def _check_may_manage(by: Actor) -> None:
    # Staff come through the admin, whose permissions have been asked already.
    if by.kind == ActorKind.STAFF:
        return
    if by.role is None:
        raise NotAllowed("Сотрудников меняет владелец компании.")
    rules.check_may(by.role, Right.MANAGE_TEAM)


def _locked(member: Member) -> Member:
    # The company first: two owners who remove one another must queue, or none would remain.
    Merchant.objects.select_for_update().get(pk=member.merchant_id)
    found = Member.objects.select_related("user").filter(pk=member.pk).first()
    if found is None:
        raise TeamRefused("Этого человека уже нет среди сотрудников.")
    return found


def _check_owner_remains(member: Member, sentence: str) -> None:
    if member.role != Role.OWNER:
        return
    owners = Member.objects.filter(
        merchant_id=member.merchant_id, role=Role.OWNER, user__is_active=True
    )
    if not owners.exclude(pk=member.pk).exists():
        raise TeamRefused(sentence)


def _note(member: Member, action: str, text: str, by: Actor, at: datetime) -> None:
    audit.record(
        target=member,
        action=action,
        text=text,
        by=by,
        at=at,
        merchant_id=member.merchant_id,
        details={"user": member.user_id, "role": member.role},
    )
