"""The anthropic package against the platform, with the real model."""

import asyncio

import anthropic
import pytest
from conftest import KEY, MODEL, URL, trusting

QUESTION = [{"role": "user", "content": "Name the capital of France."}]
TOOL = {"name": "get_weather", "description": "Tells the weather.", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}}
GREEDY = {"temperature": 0}


def ask(claude, **more):
    return claude.messages.create(**{"model": MODEL, "max_tokens": 12, "messages": QUESTION, "extra_body": GREEDY} | more)


def text_of(message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_and_its_stream_give_the_same(claude):
    whole = ask(claude)
    assert "Paris" in text_of(whole)
    with claude.messages.stream(model=MODEL, max_tokens=12, messages=QUESTION, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == text_of(whole) == text_of(final)
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == (whole.stop_reason, whole.usage.input_tokens, whole.usage.output_tokens)


def test_a_message_of_the_asynchronous_client():
    async def one() -> str:
        async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0, http_client=anthropic.DefaultAsyncHttpxClient(verify=trusting())) as claude:
            return text_of(await claude.messages.create(model=MODEL, max_tokens=12, messages=QUESTION, extra_body=GREEDY))

    assert "Paris" in asyncio.run(one())


def test_stop_reasons(claude):
    assert ask(claude, max_tokens=2, messages=[{"role": "user", "content": "Tell me a story."}]).stop_reason == "max_tokens"
    text = text_of(ask(claude))
    stopped = ask(claude, stop_sequences=[text[4:8]])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", text[4:8])


def test_system_and_count_tokens(claude):
    counted = claude.messages.count_tokens(model=MODEL, messages=QUESTION, system="Be terse.")
    assert counted.input_tokens == ask(claude, system="Be terse.").usage.input_tokens


def test_demanded_tools(claude):
    message = ask(claude, tools=[TOOL], tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}, max_tokens=120)
    assert message.stop_reason == "tool_use"
    (use,) = [block for block in message.content if block.type == "tool_use"]
    assert set(use.input) == {"city"}


def test_a_tool_s_result_goes_back(claude):
    used = ask(claude, tools=[TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True}, max_tokens=120)
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": "sunny"} for block in used.content if block.type == "tool_use"]
    messages = [*QUESTION, {"role": "assistant", "content": used.content}, {"role": "user", "content": results}]
    assert ask(claude, tools=[TOOL], messages=messages).usage.input_tokens > used.usage.input_tokens


def test_errors(claude):
    with pytest.raises(anthropic.AuthenticationError):
        ask(claude.with_options(api_key="sk-im-wrong"))
    with pytest.raises(anthropic.NotFoundError):
        ask(claude, model="nope")
    with pytest.raises(anthropic.BadRequestError) as refused:
        ask(claude, messages=[{"role": "user", "content": "word " * 10_000}])
    assert refused.value.body["error"]["type"] == "invalid_request_error"
