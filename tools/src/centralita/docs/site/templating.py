"""The templates of generated pages."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from centralita.docs.site.schemas import anchor, fields_of, prose, title_of, type_of


def _environment() -> Environment:
    # The templates write Markdown from our own contracts: HTML escapes would end up in code.
    environment = Environment(  # noqa: S701
        loader=PackageLoader("centralita.docs.site"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"anchor": anchor, "fields_of": fields_of, "prose": prose, "title_of": title_of, "type_of": type_of}
    environment.filters.update(filters, code=lambda text: f"`{text}`")
    return environment


_ENVIRONMENT = _environment()


def render(template: str, **values: object) -> str:
    """Returns the page that a template makes of these values."""
    return _ENVIRONMENT.get_template(f"{template}.md.j2").render(values)
