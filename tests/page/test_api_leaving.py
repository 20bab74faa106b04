"""Who leaves the API frees the model, and who waits for it is told."""

from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

from qinsight.page.line import Line
from shared.api import page_functions, served
from shared.engines import (
    ENDLESS,
    PatientEngine,
)
from shared.pages import eventually


def patient() -> PatientEngine:
    return PatientEngine(ENDLESS, pause=0.02)


def test_a_dropped_connection_frees_the_model(photo: Path) -> None:
    engine = patient()
    with served(engine) as page:
        event = page.call("score", page.upload(photo)).json()["event_id"]
        for _, state in page.events("score", event):
            if state and state["thinking"]:
                break
        page.http.close()
        assert engine.stopped.wait(10)
        eventually(lambda: len(page.host.line) == 0, 1)


def test_a_dropped_connection_gives_up_the_place_in_line(photo: Path) -> None:
    engine = patient()
    with served(engine) as page:
        file = page.upload(photo)
        first = page.call("score", file).json()["event_id"]
        with page.http.stream("GET", f"call/score/{first}"):
            assert engine.begun.wait(5)
            second = page.call("score", file).json()["event_id"]
            for _, state in page.events("score", second):
                if state and state["before"] == 1:
                    break
            eventually(lambda: len(page.host.line) == 1, 1)
        assert len(engine.asked) == 1


def test_a_cancelled_job_frees_the_model(photo: Path) -> None:
    engine = patient()
    with served(engine) as page:
        client = Client(page.url, verbose=False)
        job = client.submit(photo=handle_file(str(photo)), api_name="/score")
        eventually(lambda: len(job.outputs()) > 1)
        job.cancel()
        assert engine.stopped.wait(10)
        eventually(lambda: len(page.host.line) == 0, 1)
        client.close()


def test_a_job_is_cancelled_by_its_event_whatever_else_the_call_says(
    photo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = patient()
    with served(engine) as page:
        for number in range(5):
            event = page.call("score", page.upload(photo)).json()["event_id"]
            with page.http.stream("GET", f"call/score/{event}") as stream:
                eventually(lambda number=number: len(engine.asked) == number + 1)
                body = {"session_hash": "somebody", "fn_index": 0, "event_id": event}
                assert page.http.post("cancel", json=body).status_code == 200
                stream.read()
            eventually(lambda: len(page.host.line) == 0, 1)
        eventually(lambda: not page.blocks._queue.event_ids_to_events, 2)
    assert "Traceback" not in capfd.readouterr().err


def test_a_cancelled_job_that_still_waits_never_asks_the_model(photo: Path) -> None:
    engine = patient()
    with served(engine) as page:
        clients = [Client(page.url, verbose=False) for _ in range(2)]
        jobs = [clients[0].submit(photo=handle_file(str(photo)), api_name="/score")]
        assert engine.begun.wait(5)
        jobs.append(clients[1].submit(photo=handle_file(str(photo)), api_name="/score"))
        eventually(lambda: any(state["before"] == 1 for state in jobs[1].outputs()))
        jobs[1].cancel()
        eventually(lambda: len(page.host.line) == 1, 1)
        jobs[0].cancel()
        eventually(lambda: len(page.host.line) == 0, 1)
        assert len(engine.asked) == 1


def test_a_full_line_is_503_and_a_sentence(photo: Path) -> None:
    with served(patient(), Line(longest=2)) as page:
        file = page.upload(photo)
        for _ in range(2):
            assert page.call("score", file).status_code == 200
        eventually(lambda: len(page.host.line) == 2)
        refused = page.call("score", file)
        assert refused.status_code == 503
        assert refused.json()["detail"] == "2 questions are waiting already. Please try again in a minute."


def test_one_session_with_too_many_questions_is_429_and_a_sentence(photo: Path) -> None:
    with served(patient(), Line(each=2)) as page:
        file = page.upload(photo)
        number = next(f._id for f in page_functions(page) if f.api_name == "score")

        def join(session: str) -> httpx.Response:
            body = {"data": [file], "fn_index": number, "session_hash": session}
            return page.http.post("queue/join", json=body)

        assert [join("greedy").status_code for _ in range(2)] == [200, 200]
        eventually(lambda: len(page.host.line) == 2)
        refused = join("greedy")
        assert (refused.status_code, refused.json()["detail"][:31]) == (
            429,
            "Expected at most 2 questions at",
        )
        assert join("modest").status_code == 200
