"""Tools over HTTP: functions of a campaign's own systems, which the model calls by name.

The model chooses a tool and its arguments, never an address. The request goes to the URL in the terms of the campaign
(`conversation.adapters.public_addresses` says where that may be), without redirects, without a proxy, and without a
connection of an earlier request. The answer is used if its status is 2xx, and its body short JSON or text.

Each origin has its own circuit breaker and its own limit of requests in progress, so a receiver that is slow or down
costs the calls of its campaign only.
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext

import aiohttp
import structlog
from yarl import URL

from contracts import AgentTools, ToolStatus
from contracts.agent_tools import HttpTool
from contracts.tool_urls import checked_tool_url
from conversation.adapters.public_addresses import AddressRefused, PublicResolver
from conversation.domain.tool_arguments import argument_refusals
from conversation.domain.tool_execution import ToolExecution, ToolOutcome
from conversation.domain.tool_requests import ToolRequest
from conversation.domain.tools import Tool
from conversation.ports import ToolInvocation
from providers import Failure, Provider, RequestFailed
from sealing import SigningKey

PROVIDER = "tool"
"""The label of the metrics of all tools: their names and addresses are the campaigns', and have no bound."""
MAX_TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 16_384
MAX_ORIGINS = 500
"""How many origins have a circuit breaker at once; that of the origin that was used least recently is dropped."""
_RESULTS = {
    Failure.DEADLINE: ToolOutcome("the tool did not answer in time", ToolStatus.TIMED_OUT),
    Failure.UNREACHABLE: ToolOutcome("the tool cannot be reached", ToolStatus.FAILED),
    Failure.CUT_OFF: ToolOutcome("the tool's answer was cut off", ToolStatus.FAILED),
    Failure.BREAKER_OPEN: ToolOutcome("the tool is not available at the moment", ToolStatus.UNAVAILABLE),
    Failure.NO_CAPACITY: ToolOutcome("the tool is not available at the moment", ToolStatus.UNAVAILABLE),
}

logger = structlog.get_logger()


class HttpTools:
    """Implements `conversation.ports.ToolExecutor`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        resolver: PublicResolver,
        new_provider: Callable[[], Provider],
        *,
        secret: bytes,
        tls: SSLContext | None = None,
    ) -> None:
        self._session = session
        self._resolver = resolver
        self._new_provider = new_provider
        self._providers: OrderedDict[URL, Provider] = OrderedDict()
        self._secret = secret
        self._tls = tls or True

    def offered(self, tools: AgentTools) -> tuple[Tool, ...]:
        """Returns the tools over HTTP of a campaign's terms."""
        return tuple(Tool(tool.name, tool.description, tool.parameters, is_strict=False) for tool in tools.http)

    async def execute(self, invocation: ToolInvocation) -> ToolOutcome:
        """Sends a tool call to its receiver and returns the answer, or why there is none."""
        conversation, execution = invocation.conversation, invocation.execution
        tool = _tool(conversation.tools, execution)
        if tool is None:
            return ToolOutcome("there is no such tool", ToolStatus.REFUSED)
        if refusals := argument_refusals(tool.parameters, execution.argument_values):
            return ToolOutcome("not executed: " + "; ".join(refusals), ToolStatus.REFUSED)
        key = SigningKey.of(self._secret, conversation.call.campaign_id)
        try:
            request = ToolRequest.of(conversation.call, conversation.attempt, invocation.turn, execution)
            return ToolOutcome(await self._send(tool, request, key))
        except RequestFailed as error:
            logger.warning(
                "tool_request_failed", campaign=conversation.call.campaign_id, tool=tool.name, reason=str(error)
            )
            return _RESULTS.get(error.failure) or ToolOutcome(f"the tool failed: {error}", ToolStatus.FAILED)
        except (AddressRefused, ValueError) as error:
            logger.warning(
                "tool_refused", campaign=conversation.call.campaign_id, tool=tool.name, reason=type(error).__name__
            )
            return ToolOutcome("not executed: its address or its arguments are not acceptable", ToolStatus.REFUSED)

    async def _send(self, tool: HttpTool, request: ToolRequest, key: SigningKey) -> str:
        """Returns the text of the answer. Raises RequestFailed, AddressRefused, and ValueError for a wrong URL."""
        url = URL(checked_tool_url(tool.url), encoded=True)  # stored terms were checked by the build of their time
        self._resolver.check(url.host or "")
        deadline_at = asyncio.get_running_loop().time() + min(tool.timeout_seconds, MAX_TIMEOUT_SECONDS)
        max_wait_seconds = deadline_at - asyncio.get_running_loop().time()
        async with self._provider(url.origin()).request(max_wait_seconds=max_wait_seconds):
            try:
                async with asyncio.timeout_at(deadline_at):
                    return await self._answer(url, request, key)
            except TimeoutError as error:
                raise RequestFailed(Failure.DEADLINE) from error
            except aiohttp.ClientConnectorError as error:
                if isinstance(error.os_error, AddressRefused):
                    raise error.os_error from error
                raise RequestFailed(Failure.UNREACHABLE) from error
            except (aiohttp.ClientError, OSError) as error:
                raise RequestFailed(Failure.CUT_OFF, type(error).__name__) from error

    async def _answer(self, url: URL, request: ToolRequest, key: SigningKey) -> str:
        response = await self._session.post(
            url,
            data=request.body,
            headers=request.headers(key, int(time.time())),
            allow_redirects=False,
            ssl=self._tls,
        )
        try:
            return _text(response, await _body(response))
        finally:
            response.close()

    def _provider(self, origin: URL) -> Provider:
        provider = self._providers.pop(origin, None) or self._new_provider()
        self._providers[origin] = provider
        if len(self._providers) > MAX_ORIGINS:
            self._providers.popitem(last=False)
        return provider


@asynccontextmanager
async def http_tools(
    secret: bytes,
    new_provider: Callable[[], Provider],
    *,
    permits_loopback: bool = False,
    tls: SSLContext | None = None,
) -> AsyncIterator[HttpTools]:
    """Opens the executor of tools over HTTP. `new_provider`: returns the provider of an origin. `tls`: for tests."""
    resolver = PublicResolver(permits_loopback=permits_loopback)
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True, limit=0)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=MAX_TIMEOUT_SECONDS),
    ) as session:
        try:
            yield HttpTools(session, resolver, new_provider, secret=secret, tls=tls)
        finally:
            await resolver.close()


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Returns the body of an answer that may be used. Raises RequestFailed, before reading more than is used."""
    if response.status >= 500:
        raise RequestFailed(Failure.SERVER_ERROR, f"HTTP {response.status}")
    if not 200 <= response.status < 300:
        raise RequestFailed(Failure.REFUSED, f"HTTP {response.status}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RequestFailed(Failure.REFUSED, "its answer is compressed")
    body = bytearray()
    while piece := await response.content.readany():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise RequestFailed(Failure.TOO_LONG, f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _text(response: aiohttp.ClientResponse, body: bytes) -> str:
    """Returns the text of an answer: JSON in its shortest form, or text as it is. Raises RequestFailed."""
    if not body.strip():
        return "done"
    kind = response.content_type
    is_json = kind == "application/json" or kind.endswith("+json")
    if not is_json and not kind.startswith("text/plain"):
        raise RequestFailed(Failure.REFUSED, "its answer is neither JSON nor text")
    try:
        text = body.decode()
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")) if is_json else text
    except (ValueError, RecursionError) as error:  # the second: nested too deeply
        reason = "its answer is no JSON" if is_json else "its answer is not in UTF-8"
        raise RequestFailed(Failure.REFUSED, reason) from error


def _tool(tools: AgentTools | None, execution: ToolExecution) -> HttpTool | None:
    return next((tool for tool in tools.http if tool.name == execution.name), None) if tools else None
