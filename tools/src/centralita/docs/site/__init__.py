"""The documentation site: `make site` builds it offline with MkDocs, from the repository's pages and the contracts.

MkDocs calls `hooks`, which `mkdocs.yml` names. Each page has the path of its file in the repository, so links between
pages need no translation.
"""
