"""What others send us: stored first, processed after the answer, never lost.

`models.InboxMessage` is the part of a row that processing needs; `processing.Inbox` processes rows.
The market's deliveries and the operators' signed events are inboxes.
"""
