"""An operator described by a JSON document instead of a module: its words, requests and answers. Pure.

Enough where the operator speaks REST with JSON or forms, and where one login, one call for each question, one
or two for a switch, and tables of words are all there is to it. The document is a profile; its parts are told
by the docstrings of `profile` and `keys`, and three whole ones stand in `examples/`.

- `paths`: where in a body a value stands; `links` and `sources`: headers, and parts of links; `templates`:
  what is put into a request, and how it is escaped there;
- `nodes`, `parse`, `parse_calls`, `parse_answers`, `parse_login`: the document made into the dataclasses of
  `profile` and `keys`, every mistake with its place and a Russian sentence;
- `validate`: what staff see before they save, and `load` for everybody else;
- `outgoing`, `signing`, `tokens`: one call made into a request that says who we are; `refusals`, `rows`,
  `answers`: a reply made into the words of `ports`;
- `dry_run`: the requests that would leave, with secrets masked; `places`: what of the answers the log keeps;
  `changes`: what two documents differ in;
- `abilities`: `Capabilities` of a profile.
"""
