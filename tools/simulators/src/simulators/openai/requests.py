"""Chat completion requests: their fields, and their validation as the vendor does it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError


class InvalidRequest(Exception):
    """A request that the vendor answers with 400. `param` names the invalid field."""

    def __init__(self, message: str, param: str | None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class FunctionCall(BaseModel):
    """The name and the arguments (JSON text) of a function call."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    """A tool call of an earlier answer."""

    id: str
    function: FunctionCall


class ContentPart(BaseModel):
    """One part of a message whose content is a list; only its text is used here."""

    type: str
    text: str = ""


class ChatMessage(BaseModel):
    """One message of the conversation so far."""

    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] = Field(default_factory=list)
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The message's text, its parts joined."""
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content)
        return self.content or ""


class Function(BaseModel):
    """A function that the model may call; `parameters` is its JSON schema."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str = Field(default="", max_length=1024)
    parameters: dict[str, Any] = Field(default_factory=dict)
    strict: bool | None = None


class Tool(BaseModel):
    """A tool of the request. Only functions are supported here."""

    type: Literal["function"]
    function: Function


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of `POST /v1/chat/completions`. Fields without an effect here are accepted and ignored."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: JsonValue = "auto"
    parallel_tool_calls: bool = True
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)

    @property
    def token_limit(self) -> int | None:
        """The maximum tokens of the answer, under either of the field's names."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def callable_tools(self) -> dict[str, Function]:
        """The functions that the model may call, by name."""
        if self.tool_choice == "none":
            return {}
        return {tool.function.name: tool.function for tool in self.tools}


def parse(body: bytes) -> ChatRequest:
    """Parses a request body. Raises InvalidRequest where the vendor answers 400."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from error
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )
    _check_schemas(request.tools)
    _check_tool_messages(request.messages)
    return request


def _invalid(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return InvalidRequest("We could not parse the JSON body of your request.", None)
    param = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    if first["type"] == "missing":
        return InvalidRequest(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
    return InvalidRequest(f"Invalid value for '{param}': {first['msg']}.", param, "invalid_value")


def _check_schemas(tools: list[Tool]) -> None:
    """Raises InvalidRequest for a strict function whose schema is not in the strict subset."""
    for number, tool in enumerate(tools):
        if not tool.function.strict:
            continue
        schema, param = tool.function.parameters, f"tools[{number}].function.parameters"
        start = f"Invalid schema for function '{tool.function.name}': In context=(), "
        if schema.get("additionalProperties") is not False:
            text = "'additionalProperties' is required to be supplied and to be false."
            raise InvalidRequest(start + text, param, "invalid_function_parameters")
        if missing := set(schema.get("properties", {})) - set(schema.get("required", ())):
            text = "'required' is required to be supplied and to be an array including every key in properties."
            raise InvalidRequest(f"{start}{text} Missing '{min(missing)}'.", param, "invalid_function_parameters")


def _check_tool_messages(messages: list[ChatMessage]) -> None:
    """Raises InvalidRequest unless tool messages answer exactly the tool calls of the message before them."""
    open_calls: set[str] = set()
    for number, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                text = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                raise InvalidRequest(f"Invalid parameter: {text}", f"messages.[{number}].role")
            open_calls.remove(message.tool_call_id)
            continue
        _check_answered(open_calls, number)
        open_calls = {call.id for call in message.tool_calls}
    _check_answered(open_calls, len(messages) - 1)


def _check_answered(open_calls: set[str], number: int) -> None:
    if open_calls:
        text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
        unanswered = ", ".join(sorted(open_calls))
        raise InvalidRequest(
            f"{text} 'tool_call_id'. The following tool_call_ids did not have response messages: {unanswered}",
            f"messages.[{number}].role",
        )
