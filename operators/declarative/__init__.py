"""Operators described by a JSON document instead of a module. Pure: no Django, no clock, no network.

- `schema`: the document as pydantic models, with `calls`, `login` and `value_types`; `validation`: a document made into
  a `Description`, or every mistake with its field and a Russian sentence; `consistency`: what does not fit together;
- `jmespath_expressions`: JMESPath into an answer, restricted so that the fields it reads are known beforehand;
- `templates`: texts with `{variables}`, and how a value is escaped where it stands;
- `request_builder`: a call made into a request; `answers`: a reply made into the types of `operators.ports`;
- `capabilities`: what a described operator can do, and what is proposed for its account;
- `read_fields`: which fields of the answers the exchange log may show.

`examples/` has whole documents, docs/how-to/describe-an-operator.md is the guide.
"""
