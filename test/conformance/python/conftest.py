"""What the tests of Python clients share. Where the platform is, the test that starts pytest tells in the environment."""

import os
import ssl

import anthropic
import openai
import pytest

URL = os.environ["CONFORMANCE_URL"]
KEY = os.environ["CONFORMANCE_KEY"]
CA = os.environ["CONFORMANCE_CA"]
MODEL = os.environ["CONFORMANCE_MODEL"]
EMBEDDING_MODEL = os.environ["CONFORMANCE_EMBEDDING_MODEL"]


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CA)


@pytest.fixture(scope="session")
def client():
    with openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, http_client=openai.DefaultHttpxClient(verify=trusting())) as made:
        yield made


@pytest.fixture(scope="session")
def claude():
    with anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, http_client=anthropic.DefaultHttpxClient(verify=trusting())) as made:
        yield made
