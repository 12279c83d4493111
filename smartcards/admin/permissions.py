"""Django permissions that several pages of staff ask for."""

# Who acts on cards: warehouse staff have `change_smartcard` for orders, so the permission for commands decides.
ACT_RIGHT = "smartcards.change_command"
