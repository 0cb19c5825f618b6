"""A chain that looks up documents by their embeddings and answers from them, over a dozen documents."""

import openai
import pytest
from conftest import EMBEDDING_MODEL, KEY, MODEL, URL, trusting
from langchain_classic.chains import RetrievalQA
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

DOCUMENTS = {
    "canteen": "The canteen on the ground floor serves lunch from half past eleven to two o'clock. On Fridays there is fish.",
    "parking": "Visitors park their cars in the yard behind the building. The barrier opens with the code on the invitation.",
    "holidays": "Every employee has thirty days of paid leave a year. Leave must be asked for two weeks ahead.",
    "printer": "The printer on the second floor prints in colour. Its paper is in the cupboard to its left.",
    "passwords": "Passwords must have sixteen characters at least. They are changed when someone else may know them.",
    "fire": "When the fire alarm sounds, everyone leaves by the stairs and meets at the oak tree across the street.",
    "meeting": "The large meeting room is called Danube. It seats twenty people and has a projector.",
    "travel": "Travel by train is paid in second class. Flights need the approval of the head of the department.",
    "laptop": "A broken laptop is brought to the help desk in room 112, which lends another one the same day.",
    "garden": "In the roof garden, bees are kept. Their honey is sold before Christmas.",
    "doctor": "The company doctor comes every second Tuesday. Flu vaccinations are free of charge.",
    "library": "Books are borrowed from the library in the basement for four weeks.",
}
QUESTIONS = {
    "When can I have lunch?": "canteen",
    "Where do guests leave their car?": "parking",
    "How many days of vacation do I get?": "holidays",
    "Where do we gather when there is a fire?": "fire",
    "My notebook computer is broken. Who helps?": "laptop",
    "Can I get a flu shot?": "doctor",
}


@pytest.fixture(scope="module")
def store():
    embeddings = OpenAIEmbeddings(base_url=f"{URL}/v1", api_key=KEY, model=EMBEDDING_MODEL, check_embedding_ctx_length=False, http_client=openai.DefaultHttpxClient(verify=trusting()))
    store = InMemoryVectorStore(embeddings)
    store.add_texts(list(DOCUMENTS.values()), metadatas=[{"name": name} for name in DOCUMENTS])
    return store


@pytest.fixture(scope="module")
def chat():
    return ChatOpenAI(base_url=f"{URL}/v1", api_key=KEY, model=MODEL, temperature=0, max_tokens=48, http_client=openai.DefaultHttpxClient(verify=trusting()))


@pytest.mark.parametrize(("question", "name"), QUESTIONS.items())
def test_the_right_document_is_found(store, question, name):
    assert store.similarity_search(question, k=1)[0].metadata["name"] == name


def test_the_chain_answers_from_what_it_found(store, chat):
    chain = RetrievalQA.from_chain_type(chat, retriever=store.as_retriever(search_kwargs={"k": 1}), return_source_documents=True)
    answer = chain.invoke({"query": "How many days of paid leave does every employee have?"})
    assert [document.metadata["name"] for document in answer["source_documents"]] == ["holidays"]
    assert "thirty" in answer["result"].lower() or "30" in answer["result"]
