"""Lists of many cards: counted by their facts, read page by page, ticked and not saved yet."""
