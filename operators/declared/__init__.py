"""An operator described by a JSON document instead of a module: its words, requests and answers. Pure.

Enough where the operator speaks REST with JSON or forms, and one login, one call for each question
and tables of words are all there is to it. The document is a profile; `docs` of its parts are the
docstrings of `profile`, and three whole ones stand in `examples/`.

- `paths`: where in an answer a value stands; `templates`: what is put into a request, and how it is
  escaped there;
- `nodes`, `parse`, `parse_calls`, `parse_login`: the document made into the dataclasses of `profile`,
  every mistake with its place and a Russian sentence;
- `validate`: what staff see before they save, and `load` for everybody else;
- `outgoing`: one call made into a request; `answers`: a reply made into the words of `ports`;
- `dry_run`: the requests that would leave, with secrets masked;
- `abilities`: `Capabilities` of a profile.
"""
