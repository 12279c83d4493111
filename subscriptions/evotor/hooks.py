"""The market's notification hooks: names, and what is done with each."""

from enum import StrEnum


class Hook(StrEnum):
    """Where a delivery came in."""

    SUBSCRIPTION = "subscription/event"
    INSTALLATION = "installation/event"
    DEVICES = "inventories/devices"
    STORES = "inventories/stores"

    @property
    def is_snapshot(self) -> bool:
        """Whether the body says how things are, so that the same body may come again rightly."""
        return self in {Hook.DEVICES, Hook.STORES}
