"""LangChain's own standard tests of integrations, with langchain-openai against the platform and the real models.

What is declared not to work is what the model can't do: it has no eyes or ears, and 135 million parameters are too few to be right.
"""

import openai
import pytest
from conftest import EMBEDDING_MODEL, KEY, MODEL, URL, trusting
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

CONNECTION = {"base_url": f"{URL}/v1", "api_key": KEY, "max_retries": 0}


def clients() -> dict:
    return {
        "http_client": openai.DefaultHttpxClient(verify=trusting()),
        "http_async_client": openai.DefaultAsyncHttpxClient(verify=trusting()),
    }


class TestChat(ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        # The penalty keeps the model from going round in circles. Usage in streams is asked for only where nobody else's URL is given.
        return {**CONNECTION, **clients(), "model": MODEL, "temperature": 0, "frequency_penalty": 1, "max_tokens": 300, "stream_usage": True}

    @property
    def standard_chat_model_params(self):
        return {}

    @property
    def has_tool_choice(self):
        return True

    @property
    def has_structured_output(self):
        return True

    @property
    def supports_json_mode(self):
        return True

    @property
    def supports_model_override(self):
        return True

    @property
    def model_override_value(self):
        return MODEL

    @pytest.mark.xfail(reason="The model gives JSON, as it must, but too seldom with the keys that only the text of the question asks for.", strict=False)
    def test_json_mode(self, model):
        super().test_json_mode(model)

    @pytest.mark.xfail(reason="The model does not call tools of its own accord.", strict=False)
    def test_agent_loop(self, model):
        super().test_agent_loop(model)


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self):
        # It would count tokens with a tokenizer of OpenAI's, which it fetches.
        return {**CONNECTION, **clients(), "model": EMBEDDING_MODEL, "check_embedding_ctx_length": False}
