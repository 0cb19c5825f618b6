"""The openai package against the platform, with the real model."""

import asyncio
import json
from typing import Literal

import openai
import pydantic
import pytest
from conftest import EMBEDDING_MODEL, KEY, MODEL, URL, trusting

QUESTION = [{"role": "user", "content": "Name the capital of France."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    },
}


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20)
    age: int = pydantic.Field(ge=0, le=120)
    mood: Literal["glad", "sad"]
    born_in: str | None = pydantic.Field(max_length=20)


def ask(client, **more):
    return client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 12} | more)


def text_of(completion) -> str:
    return completion.choices[0].message.content


def test_chat_and_its_stream_give_the_same(client):
    whole = text_of(ask(client))
    assert "Paris" in whole
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    assert chunks[-1].usage.completion_tokens == ask(client).usage.completion_tokens


def test_chat_of_the_asynchronous_client():
    async def several() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, http_client=openai.DefaultAsyncHttpxClient(verify=trusting())) as client:
            answers = await asyncio.gather(*(client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=12) for _ in range(3)))
            text = ""
            async for chunk in await client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=12, stream=True):
                text += chunk.choices[0].delta.content or ""
            return [*map(text_of, answers), text]

    assert all("Paris" in text for text in asyncio.run(several()))


def test_sampling(client):
    more = {"n": 2, "presence_penalty": 0.5, "frequency_penalty": 0.5, "top_p": 0.9, "seed": 3, "temperature": 1, "stop": ["never said"], "logprobs": True, "top_logprobs": 2}
    completion = ask(client, **more, user="anne", metadata={"a": "b"}, extra_body={"top_k": 40, "min_p": 0.05, "repeat_penalty": 1.1})
    assert len(completion.choices) == 2
    assert all(len(entry.top_logprobs) == 2 for choice in completion.choices for entry in choice.logprobs.content)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_parse_with_pydantic(client, seed):
    completion = client.chat.completions.parse(model=MODEL, messages=[{"role": "user", "content": "Invent a person."}], temperature=1.5, seed=seed, response_format=Person)
    assert isinstance(completion.choices[0].message.parsed, Person)


def test_stream_with_pydantic(client):
    with client.chat.completions.stream(model=MODEL, messages=[{"role": "user", "content": "Invent a person."}], temperature=1.5, seed=4, response_format=Person) as stream:
        kinds = {event.type for event in stream}
        completion = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert isinstance(completion.choices[0].message.parsed, Person)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_demanded_tools(client, choice):
    completion = ask(client, tools=[TOOL], tool_choice=choice, parallel_tool_calls=False, max_tokens=120)
    assert completion.choices[0].finish_reason == "tool_calls"
    (call,) = completion.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city"}


def test_parse_a_tool_with_pydantic(client):
    tool = openai.pydantic_function_tool(Person, name="save")
    completion = client.chat.completions.parse(model=MODEL, messages=[{"role": "user", "content": "Invent a person."}], temperature=1, seed=1, tools=[tool], tool_choice="required", parallel_tool_calls=False)
    assert isinstance(completion.choices[0].message.tool_calls[0].function.parsed_arguments, Person)


def test_completions(client):
    completion = client.completions.create(model=MODEL, prompt=["The capital of France is", "Two plus two is"], temperature=0, max_tokens=6, logprobs=2)
    assert "Paris" in completion.choices[0].text
    assert [choice.index for choice in completion.choices] == [0, 1]
    streamed = client.completions.create(model=MODEL, prompt="The capital of France is", temperature=0, max_tokens=6, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == completion.choices[0].text


def test_responses(client):
    response = client.responses.create(model=MODEL, input="Name the capital of France.", instructions="Be terse.", temperature=0, max_output_tokens=12)
    assert response.output_text
    with client.responses.stream(model=MODEL, input="Name the capital of France.", instructions="Be terse.", temperature=0, max_output_tokens=12) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")][0] == 0
    assert events[0].type == "response.created"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == response.output_text


def test_responses_parse_with_pydantic(client):
    response = client.responses.parse(model=MODEL, input="Invent a person.", temperature=1.5, text_format=Person)
    assert isinstance(response.output_parsed, Person)


def test_responses_keep_nothing(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input="And of Italy?", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"


@pytest.mark.parametrize("encoding", ["float", "base64", openai.omit])
def test_embeddings(client, encoding):
    answer = client.embeddings.create(model=EMBEDDING_MODEL, input=["A cat.", "A share."], encoding_format=encoding, dimensions=384)
    assert [item.index for item in answer.data] == [0, 1]
    if encoding != "base64":
        assert all(abs(sum(value * value for value in item.embedding) - 1) < 1e-4 for item in answer.data)


def test_models(client):
    models = {model.id: model for model in client.models.list()}
    assert set(models) == {MODEL, EMBEDDING_MODEL}
    assert client.models.retrieve(MODEL).model_extra["licence"] == "Apache-2.0"


def test_errors(client):
    stranger = client.with_options(api_key="sk-im-wrong")
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with pytest.raises(openai.NotFoundError) as missing:
        ask(client, model="nope")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        ask(client, messages=[{"role": "user", "content": "word " * 10_000}])
    assert long.value.code == "context_length_exceeded"


def test_leaving_a_stream(client):
    with ask(client, messages=[{"role": "user", "content": "Count to a thousand."}], max_tokens=2000, stream=True) as stream:
        next(iter(stream))
    assert "Paris" in text_of(ask(client))
