"""The way to a provider of LLMs: one client with bounds, and repeats that keep to a deadline."""

# A pilot that builds does not install these libraries, and its type check reads this file all the same.
# mypy: disable-error-code="import-not-found", disallow-subclassing-any=False

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import httpx2
from pydantic_ai.exceptions import (
    ModelConnectionError,
    ModelOverloadedError,
    ModelRateLimitError,
    ModelServerError,
    ModelUnavailableError,
    UserError,
)
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, infer_model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers import infer_provider_class
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings

from pilot.contract import ModelUnavailable
from pilot.settings import Settings

# An answer is a label and a number. Whatever is larger than this is something else.
LARGEST_RESPONSE = 1024 * 1024
CONNECT_SECONDS = 5.0
FIRST_PAUSE = 0.5

PASSING = (ModelConnectionError, ModelOverloadedError, ModelRateLimitError, ModelServerError, ModelUnavailableError)


class ResponseTooLarge(Exception):
    """The provider sent more than `LARGEST_RESPONSE` bytes."""


class BoundedClient(httpx2.AsyncClient):
    """Reads at most `LARGEST_RESPONSE` bytes of a response, counted after decompression, and cuts the rest off."""

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = await super().send(request, stream=True, **options)
        body = bytearray()
        try:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > LARGEST_RESPONSE:
                    raise ResponseTooLarge
        finally:
            await response.aclose()
        framing = {"content-encoding", "content-length", "transfer-encoding"}
        headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in framing]
        whole = httpx2.Response(response.status_code, headers=headers, content=bytes(body), request=request)
        whole.elapsed = response.elapsed
        return whole


def connect(settings: Settings) -> Model:
    """The LLM that the settings name. Nothing is sent.

    Raises ModelUnavailable when the settings do not name one that can be called.
    """
    if not settings.llm_model:
        raise ModelUnavailable("No LLM is set. Set PILOT_LLM_MODEL to PROVIDER:NAME, and PILOT_LLM_API_KEY_FILE.")
    if settings.llm_api_key is None:
        raise ModelUnavailable(
            "The LLM has no key. Put it into secrets/llm_api_key, or into the file that PILOT_LLM_API_KEY_FILE names."
        )
    provider, separator, name = settings.llm_model.partition(":")
    if not (provider and separator and name):
        raise ModelUnavailable("PILOT_LLM_MODEL is not PROVIDER:NAME. Write openai:NAME for a model behind a base URL.")
    key = settings.llm_api_key.get_secret_value()
    client = BoundedClient(timeout=httpx2.Timeout(settings.model_deadline, connect=CONNECT_SECONDS))
    if settings.llm_base_url:
        endpoint = OpenAICompatibleProvider(provider, base_url=settings.llm_base_url, api_key=key, http_client=client)
        return OpenAIChatModel(name, provider=endpoint)
    credentials: dict[str, Any] = {"api_key": key, "http_client": client}
    try:
        return infer_model(settings.llm_model, lambda known: infer_provider_class(known)(**credentials))
    except (ImportError, TypeError, UserError, ValueError) as error:
        raise ModelUnavailable(
            f"PILOT_LLM_MODEL: the provider {provider!r} cannot be used ({type(error).__name__}). Install its library "
            "as Pydantic AI asks, or set PILOT_LLM_BASE_URL to its OpenAI-compatible endpoint."
        ) from None


class Patient(WrapperModel):
    """One item's way to the model: repeats a call whose failure may pass, while the budget and the deadline allow.

    A pause doubles with each repeat and is random between half and whole, so that callers do not come back all at
    once. A provider that names a time to wait is obeyed. Where the pause would outlast `until` (of the monotonic
    clock), the failure stands at once.
    """

    def __init__(self, wrapped: Model, *, repeats: int, until: float) -> None:
        super().__init__(wrapped)
        self._repeats = repeats
        self._until = until
        self._pause = FIRST_PAUSE

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        while True:
            try:
                return await super().request(messages, model_settings, model_request_parameters)
            except PASSING as error:
                if self._repeats == 0 or too_large(error):
                    raise
                pause = max(error.retry_after or 0.0, self._pause * random.uniform(0.5, 1.0))  # noqa: S311
                if time.monotonic() + pause >= self._until:
                    raise
            self._repeats -= 1
            self._pause *= 2
            await asyncio.sleep(pause)


def too_large(error: BaseException | None) -> bool:
    """Whether a call failed because its response was cut off."""
    while error is not None and not isinstance(error, ResponseTooLarge):
        error = error.__cause__
    return error is not None
