"""A server is opened, or a sentence says why it is not the one we want."""

import subprocess
import sys

import pytest

from qinsight.engines.server import EndpointEngine
from qinsight.errors import EngineError
from qinsight.prompts import Task
from shared.chat_server import (
    SCORED,
    Act,
    Answering,
    connect,
    cut_after,
    refuses,
    running,
    says,
    score,
    texts,
)
from shared.places import REPOSITORY
from shared.proxies import free_port

pytestmark = pytest.mark.usefixtures("no_key_and_no_thread_is_left")


def models(*names: str) -> Act:
    return refuses(200, {"data": [{"id": name} for name in names]})


@pytest.mark.parametrize(
    ("listing", "model", "sentence"),
    [
        (models("a", "b"), None, r"several models, say which with --model: a, b\."),
        (models(*map(str, range(40))), None, r"7, 8, 9 and 30 more\."),
        (models(), None, "lists no model; say which one to ask with --model"),
        (refuses(401, "who are you"), None, "wants another API key .* set QINSIGHT_API_KEY"),
        (refuses(404, "<html>no</html>"), None, "expected an address like http://host:8000/v1"),
        (refuses(200, "<html>hello</html>"), None, "no OpenAI-compatible server"),
        (refuses(200, '{"data": [{"size": 3}]}'), None, "no OpenAI-compatible server"),
        (refuses(503, {"error": {"message": "Loading model"}}), None, r"status 503\): Loading model"),
        (cut_after("x"), None, "did not say which models"),
    ],
)
def test_a_server_that_is_not_the_one_we_want_is_refused_in_a_sentence(
    listing: Act, model: str | None, sentence: str
) -> None:
    with running() as server:
        server.models = listing
        with pytest.raises(EngineError, match=sentence) as refused:
            connect(server, model=model)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("listing", [models(), refuses(500, "Internal Server Error")])
def test_a_server_that_cannot_list_its_models_is_asked_for_one_by_its_name(listing: Act) -> None:
    """`transformers serve` lists what was ever downloaded, not what it serves, and breaks where nothing was."""
    with running(says(*SCORED)) as server:
        server.models = listing
        engine = connect(server, model="a/folder")
        assert texts(engine.stream(score())) == {0: "".join(SCORED)}
    assert server.bodies[0]["model"] == engine.about.name == "a/folder"


def test_a_list_of_models_without_an_end_is_not_read_to_it() -> None:
    pieces = []

    async def act(answering: Answering) -> None:
        await answering.begin()
        for number in range(1000):
            await answering.raw(b"x" * 2**16)
            pieces.append(number)

    with running() as server:
        server.models = act
        with pytest.raises(EngineError, match="no OpenAI-compatible server"):
            connect(server)
    assert len(pieces) < 200  # 64 KB each: what the sockets hold, and the megabyte we read


def test_a_server_that_is_not_there_is_told_in_a_sentence() -> None:
    with pytest.raises(EngineError, match=r"^Nobody answers at 127.0.0.1:\d+; is the server running"):
        EndpointEngine.open(f"http://127.0.0.1:{free_port()}/v1")


@pytest.mark.parametrize("url", ["", "host:8000", "ftp://host/v1", "http://", "http://[::"])
def test_an_address_that_is_none_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(EngineError, match="Expected an address like http://host:8000/v1"):
        EndpointEngine.open(url)


def test_the_path_may_be_left_out_and_a_password_in_the_address_is_not_shown() -> None:
    with running(says(*SCORED)) as server:
        bare = server.url.removesuffix("/v1").replace("http://", "http://me:secret@") + "/"
        engine = EndpointEngine.open(bare)
    assert engine.about.device == server.url.split("/")[2]
    assert (engine.about.name, engine.about.tasks) == ("qinsight", frozenset(Task))


def test_talking_to_a_server_needs_no_torch() -> None:
    words = "import sys, qinsight.engines.server; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", words], check=True, cwd=REPOSITORY, timeout=60)
