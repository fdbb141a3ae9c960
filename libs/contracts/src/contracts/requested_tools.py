"""The tools of a campaign as a command gives them, each with its validation.

The schema of a tool's arguments is a part of JSON Schema: an object of texts, numbers, booleans and lists of them. It
has no references, so nothing is fetched to read it, and no patterns, whose evaluation has no bound.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from contracts.agent_tools import BUILT_IN_NAMES, AgentTools
from contracts.tool_urls import checked_tool_url
from contracts.values import CallerId

MAX_HTTP_TOOLS = 10
MAX_TRANSFERS = 10
MAX_PARAMETERS = 20
MAX_TOOL_SECONDS = 10.0
MAX_TOOLS_BYTES = 16_384
"""All tools of a campaign, as JSON. Each event of the campaign has them, and each request to the model."""
_MAX_CHOICES = 50


def _free_name(name: str) -> str:
    if name in BUILT_IN_NAMES:
        raise ValueError(f"{name} is a built-in tool; give another name")
    return name


ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$"), AfterValidator(_free_name)]
"""The name of a tool, as the model calls it."""
DestinationName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")]
ToolUrl = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(checked_tool_url)]
ToolDescription = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]
Choice = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_Bound = Annotated[float, Field(allow_inf_nan=False)]


class _SchemaPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class RequestedItem(_SchemaPart):
    """A value that is no list."""

    type: Literal["string", "integer", "number", "boolean"]
    description: ToolDescription | None = None
    enum: Annotated[tuple[Choice, ...], Field(min_length=1, max_length=_MAX_CHOICES)] | None = Field(
        default=None, description="for a string: the only values that it may have"
    )
    format: Literal["date", "time", "date-time", "email"] | None = Field(
        default=None, description="for a string: tells the model how to write it; not checked"
    )
    minimum: _Bound | None = Field(default=None, description="for a number")
    maximum: _Bound | None = Field(default=None, description="for a number")
    max_length: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, alias="maxLength", description="for a string: how many characters it may have"
    )

    @model_validator(mode="after")
    def _has_words_of_its_type(self) -> Self:
        is_text, is_number = self.type == "string", self.type in ("integer", "number")
        if not is_text and (self.enum or self.format or self.max_length is not None):
            raise ValueError(f"enum, format and maxLength are for a string, not for a {self.type}; leave them out")
        if not is_number and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"minimum and maximum are for a number, not for a {self.type}; leave them out")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum exceeds maximum; lower it")
        return self


class RequestedParameter(RequestedItem):
    """One argument of a tool."""

    type: Literal["string", "integer", "number", "boolean", "array"]  # type: ignore[assignment]  # also a list
    items: RequestedItem | None = Field(default=None, description="for an array: its members")
    max_items: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        default=None, alias="maxItems", description="for an array: how many members it may have"
    )

    @model_validator(mode="after")
    def _has_items_if_it_is_a_list(self) -> Self:
        if (self.type == "array") != (self.items is not None):
            raise ValueError("items is required for an array, and for nothing else")
        if self.max_items is not None and self.type != "array":
            raise ValueError("maxItems is for an array; leave it out")
        return self


class RequestedParameters(_SchemaPart):
    """The JSON schema of a tool's arguments: an object that allows no other arguments."""

    type: Literal["object"] = "object"
    properties: Annotated[dict[ParameterName, RequestedParameter], Field(max_length=MAX_PARAMETERS)] = {}
    required: Annotated[tuple[ParameterName, ...], Field(max_length=MAX_PARAMETERS)] = Field(
        default=(), description="the arguments that the model has to give"
    )
    additional_properties: Literal[False] = Field(default=False, alias="additionalProperties")

    @model_validator(mode="after")
    def _requires_what_it_has(self) -> Self:
        if unknown := [name for name in self.required if name not in self.properties]:
            raise ValueError(f"required names {', '.join(unknown)}, which properties does not have; add it there")
        if len(set(self.required)) < len(self.required):
            raise ValueError("required has a name twice; give each once")
        return self

    def schema_object(self) -> dict[str, Any]:
        """Returns the JSON schema."""
        return {
            "type": self.type,
            "properties": {
                name: parameter.model_dump(mode="json", by_alias=True, exclude_none=True)
                for name, parameter in self.properties.items()
            },
            "required": list(self.required),
            "additionalProperties": self.additional_properties,
        }


class RequestedHttpTool(BaseModel):
    """A function of the campaign's own system."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ToolName = Field(description="what the model calls it")
    description: ToolDescription = Field(description="for the model: what it does, and when to use it")
    parameters: RequestedParameters = Field(
        default=RequestedParameters(), description="JSON schema of its arguments, an object"
    )
    url: ToolUrl = Field(description="where the arguments are sent: https, and no private address")
    timeout_seconds: Annotated[float, Field(gt=0, le=MAX_TOOL_SECONDS, allow_inf_nan=False)] = Field(
        default=5.0, description="how long its answer may take"
    )


class RequestedTransferDestination(BaseModel):
    """A person or a team to whom the model may transfer a call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: DestinationName = Field(description="what the model calls it")
    description: ToolDescription = Field(description="for the model: who answers there, and when to transfer")
    phone_number: CallerId = Field(description="in E.164; that of a company")
    kind: Literal["cold", "warm"] = Field(
        default="cold", description="cold: the agent leaves at once; warm: it introduces the callee first"
    )


class RequestedAgentTools(BaseModel):
    """The tools of a campaign beside `end_call` and `note`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    http: Annotated[tuple[RequestedHttpTool, ...], Field(max_length=MAX_HTTP_TOOLS)] = Field(
        default=(), description="functions of the campaign's own systems"
    )
    transfers: Annotated[tuple[RequestedTransferDestination, ...], Field(max_length=MAX_TRANSFERS)] = Field(
        default=(), description="to whom calls may be transferred"
    )
    may_schedule_callbacks: bool = Field(default=False, description="whether the model may schedule another call")
    may_send_digits: bool = Field(default=False, description="whether the model may press keys, such as in a menu")

    @field_validator("http", "transfers")
    @classmethod
    def _have_different_names(
        cls, tools: tuple[RequestedHttpTool | RequestedTransferDestination, ...]
    ) -> tuple[RequestedHttpTool | RequestedTransferDestination, ...]:
        names = [tool.name for tool in tools]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the name {twice[0]} is given twice; each needs its own")
        return tools

    def stored(self) -> AgentTools:
        """Returns the tools as the log stores them."""
        tools = self.model_dump(exclude={"http"})
        http = [{**tool.model_dump(), "parameters": tool.parameters.schema_object()} for tool in self.http]
        return AgentTools.model_validate({**tools, "http": http})

    def refusals(self) -> list[str]:
        """Returns why the tools are refused as a whole; empty if they are acceptable."""
        size = len(self.stored().model_dump_json().encode())
        if size <= MAX_TOOLS_BYTES:
            return []
        return [f"tools: {size} bytes in all; at most {MAX_TOOLS_BYTES} are accepted: shorten their descriptions"]
