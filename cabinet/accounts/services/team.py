"""Members of a company. There is always an owner."""

from datetime import datetime

from django.db import transaction

from cabinet import audit
from cabinet.accounts import rules
from cabinet.accounts.services import owner_news, people
from cabinet.actors import Actor
from cabinet.enums import ActorKind, Right, Role
from cabinet.errors import NotAllowed, Refused
from cabinet.formatting import ru_format
from cabinet.models import Member, Merchant, User


class TeamRefused(Refused):
    """The team cannot be changed like this."""


@transaction.atomic
def add_member(
    *, merchant: Merchant, phone: str, name: str, role: Role, by: Actor, at: datetime
) -> Member:
    """Add a person to the company, under the name that the company gives: their own is not shown. The owners
    are told of a new owner.

    Raises NotAllowed, TeamRefused where they are in the team already, people.SignInRefused for a phone of staff.
    """
    _check_may_manage(by)
    Merchant.objects.select_for_update().get(pk=merchant.pk)
    people.check_can_be_owner(phone)
    user = User.objects.for_phone(phone)
    if Member.objects.of(merchant).filter(user=user).exists():
        raise TeamRefused("Этот человек уже есть среди сотрудников.")
    member = Member.objects.create(
        merchant=merchant,
        user=user,
        name=name or ru_format.phone(phone),
        role=role,
        created_at=at,
    )
    text = f"Добавлен сотрудник: {member.shown_name}, {role.label}"
    audit.record(member, "member.added", text, by=by, at=at, details=_details(member))
    if role == Role.OWNER:
        owner_news.tell_of_new_owner(member=member, at=at)
    return member


@transaction.atomic
def change_role(*, member: Member, role: Role, by: Actor, at: datetime) -> None:
    """Change the role. Raises NotAllowed, TeamRefused for the last owner."""
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
    text = f"{member.shown_name}: был {before.label}, стал {role.label}"
    audit.record(member, "member.role_changed", text, by=by, at=at, details=_details(member))
    if role == Role.OWNER:
        owner_news.tell_of_new_owner(member=member, at=at)


@transaction.atomic
def remove_member(*, member: Member, by: Actor, at: datetime) -> None:
    """Remove the person from the company. Raises NotAllowed, TeamRefused for the last owner."""
    _check_may_manage(by)
    member = _locked(member)
    _check_owner_remains(
        member, "Единственного владельца убрать нельзя: у компании всегда есть владелец."
    )
    text = f"Убран сотрудник: {member.shown_name}"
    audit.record(member, "member.removed", text, by=by, at=at, details=_details(member))
    member.delete()


def _check_may_manage(by: Actor) -> None:
    # Staff come through the admin, which has checked their permissions.
    if by.kind == ActorKind.STAFF:
        return
    if by.role is None:
        raise NotAllowed("Сотрудников меняет владелец компании.")
    rules.check_may(by.role, Right.MANAGE_TEAM)


def _locked(member: Member) -> Member:
    # Lock the company first: two owners who remove each other at once would leave none.
    Merchant.objects.select_for_update().get(pk=member.merchant_id)
    found = Member.objects.select_related("user", "merchant").filter(pk=member.pk).first()
    if found is None:
        raise TeamRefused("Этого человека уже нет среди сотрудников.")
    return found


def _check_owner_remains(member: Member, sentence: str) -> None:
    if member.role != Role.OWNER:
        return
    owners = Member.objects.filter(
        merchant_id=member.merchant_id, role=Role.OWNER, user__is_active=True, user__is_staff=False
    )
    if not owners.exclude(pk=member.pk).exists():
        raise TeamRefused(sentence)


def _details(member: Member) -> dict[str, object]:
    return {"user": member.user_id, "role": member.role}
