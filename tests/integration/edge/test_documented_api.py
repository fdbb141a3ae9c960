"""The documentation site describes the API that edge serves."""

import httpx

from centralita.docs.site.rest import openapi_document


async def test_the_document_without_a_bus_is_that_of_a_running_edge(api: httpx.AsyncClient) -> None:
    assert openapi_document() == (await api.get("/openapi.json")).json()
