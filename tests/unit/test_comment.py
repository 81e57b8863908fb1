"""One comment per key on a pull request, whatever the host, its other talkers and its bad days do."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problems
from skywright.cli.program import main
from skywright.review import sticky
from skywright.review.calls import Calls
from skywright.review.github import GitHub
from skywright.review.gitlab import GitLab
from skywright.review.sticky import Did, mark
from tests.standins import githost
from tests.standins.githost import Host, answers, breaks, done_but, half, hangs, trickles

BOT = "github-actions[bot]"


@pytest.fixture
def host() -> Iterator[Host]:
    with githost.serving() as made:
        yield made


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def ours(host: Host, waits: list[float]) -> GitHub:
    return github(host, waits)


def github(host: Host, waits: list[float], token: str = "job-token", **more: Any) -> GitHub:
    made = Calls(host.url, token, timeout_s=5, wait=waits.append, **more)
    return GitHub(made, host.repository, 7)


def code(wrong: pytest.ExceptionInfo[Problems]) -> str:
    return wrong.value.problems[0].code


def test_a_second_push_updates_the_comment_and_a_third_with_the_same_text_sends_nothing(
    host: Host, ours: GitHub
) -> None:
    first = sticky.put(ours, "preview", "one")
    second = sticky.put(ours, "preview", "two")
    sent = len(host.writes())
    third = sticky.put(ours, "preview", "two\r\n")
    assert (first.did, second.did, third.did) == (Did.CREATED, Did.UPDATED, Did.UNCHANGED)
    assert first.url == second.url == third.url
    assert host.bodies() == [f"{mark('preview')}\ntwo"]
    assert len(host.writes()) == sent


def test_keys_have_comments_of_their_own_and_pull_requests_too(host: Host, ours: GitHub) -> None:
    sticky.put(ours, "preview", "a")
    sticky.put(ours, "preview.eu", "b")
    sticky.put(GitHub(ours.calls, host.repository, 8), "preview", "c")
    assert len(host.bodies()) == 2
    assert host.bodies(pull=8) == [f"{mark('preview')}\nc"]


def test_ours_is_found_on_the_last_of_many_pages(host: Host, ours: GitHub) -> None:
    for count in range(230):
        host.say("ann", f"what about {count}?")
    ours_id = host.say(BOT, f"{mark('preview')}\nold")
    assert sticky.put(ours, "preview", "new").did is Did.UPDATED
    assert host.comments[-1]["id"] == ours_id
    assert host.comments[-1]["body"].endswith("new")
    assert host.asked.count(("GET", "/repos/acme/models/issues/7/comments")) == 3


def test_what_others_wrote_is_never_touched_whatever_stands_in_it(host: Host, ours: GitHub) -> None:
    host.say("ann", f"{mark('preview')}\nI pretend to be the bot")
    host.say(BOT, f"> {mark('preview')}\n> a quotation")
    host.say("mallory[bot]", mark("preview"))
    sticky.put(ours, "preview", "mine")
    assert sticky.put(ours, "preview", "mine again").did is Did.UPDATED
    assert host.bodies("ann") == [f"{mark('preview')}\nI pretend to be the bot"]
    assert host.bodies("mallory[bot]") == [mark("preview")]
    assert host.bodies(BOT) == [f"> {mark('preview')}\n> a quotation", f"{mark('preview')}\nmine again"]


def test_a_person_is_asked_over_rest_and_a_job_over_graphql(host: Host, waits: list[float]) -> None:
    assert github(host, waits).me() == BOT
    assert github(host, waits, "ann").me() == "ann"
    assert host.asked.count(("POST", "/graphql")) == 1


def test_two_that_post_at_once_end_in_one(host: Host, waits: list[float]) -> None:
    both = threading.Barrier(2)
    first = threading.local()

    def before(method: str, path: str) -> None:
        if method == "POST" and not getattr(first, "done", False) and len(host.bodies()) < 2:
            first.done = True
            both.wait(10)

    host.before = before
    texts = ["from a laptop", "from a job"]
    threads = [
        threading.Thread(target=sticky.put, args=(github(host, waits), "preview", text)) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(host.bodies()) == 1
    assert host.bodies()[0].partition("\n")[2] in texts


def test_what_one_left_that_was_killed_between_posting_and_tidying_is_tidied(
    host: Host, ours: GitHub
) -> None:
    kept = host.say(BOT, f"{mark('preview')}\nolder")
    host.say(BOT, f"{mark('preview')}\nnewer")
    found = sticky.put(ours, "preview", "now")
    assert (found.did, found.surplus) == (Did.UPDATED, 1)
    assert [one["id"] for one in host.comments] == [kept]


def test_a_comment_that_somebody_deletes_meanwhile_is_posted_anew(host: Host, ours: GitHub) -> None:
    host.say(BOT, f"{mark('preview')}\nold")

    def before(method: str, path: str) -> None:
        if method == "PATCH":
            host.comments.clear()

    host.before = before
    assert sticky.put(ours, "preview", "new").did is Did.CREATED
    assert host.bodies() == [f"{mark('preview')}\nnew"]


def test_removing_removes_ours_alone(host: Host, ours: GitHub) -> None:
    host.say("ann", mark("preview"))
    sticky.put(ours, "preview", "one")
    sticky.put(ours, "other", "two")
    assert sticky.drop(ours, "preview").did is Did.REMOVED
    assert sticky.drop(ours, "preview").did is Did.ABSENT
    assert host.bodies(BOT) == [f"{mark('other')}\ntwo"]
    assert host.bodies("ann") == [mark("preview")]


@pytest.mark.parametrize(
    "trouble", [breaks, half, answers(502), answers(503), answers(500, {"message": "oh"})]
)
def test_bad_answers_to_questions_are_asked_again_later_and_later(
    host: Host, ours: GitHub, waits: list[float], trouble: githost.Trouble
) -> None:
    host.trouble = [trouble, trouble]
    assert sticky.put(ours, "preview", "text").did is Did.CREATED
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize("trouble", [breaks, half, answers(502)])
def test_a_post_whose_answer_is_lost_is_not_posted_twice(
    host: Host, ours: GitHub, trouble: githost.Trouble
) -> None:
    host.trouble = [None, done_but(trouble)]
    assert sticky.put(ours, "preview", "text").did is Did.CREATED
    assert host.bodies() == [f"{mark('preview')}\ntext"]
    assert host.writes() == ["POST"]


def test_a_post_that_never_arrived_is_posted_again(host: Host, ours: GitHub) -> None:
    host.trouble = [None, breaks]
    assert sticky.put(ours, "preview", "text").did is Did.CREATED
    assert host.writes() == ["POST", "POST"]
    assert len(host.bodies()) == 1


def test_a_host_that_never_recovers_is_given_up(host: Host, ours: GitHub) -> None:
    host.trouble = [answers(502)] * 50
    with pytest.raises(Problems, match="answered 502, 5 times") as wrong:
        sticky.put(ours, "preview", "text")
    assert code(wrong) == "host/no-answer"
    host.trouble = [None, answers(502)] * 20
    with pytest.raises(Problems, match="answered 502, 3 times"):
        sticky.put(ours, "preview", "text")


def test_a_host_that_hangs_or_is_not_there_is_given_up(host: Host, waits: list[float]) -> None:
    host.trouble = [hangs, hangs]
    slow = GitHub(Calls(host.url, "ann", timeout_s=0.2, tries=2, wait=waits.append), host.repository, 7)
    with pytest.raises(Problems, match="did not answer in time, 2 times"):
        sticky.put(slow, "preview", "text")
    host.trouble = [trickles]
    slow = GitHub(Calls(host.url, "ann", whole_s=0.2, tries=1, wait=waits.append), host.repository, 7)
    with pytest.raises(Problems, match="did not answer in time"):
        sticky.put(slow, "preview", "text")
    nobody = GitHub(Calls("http://127.0.0.1:1", "ann", tries=2, wait=waits.append), host.repository, 7)
    with pytest.raises(Problems, match="cannot be reached"):
        sticky.put(nobody, "preview", "text")


@pytest.mark.parametrize(
    ("trouble", "waited"),
    [
        (answers(429, {"message": "slow down"}, Retry_After="7"), 7),
        (answers(403, {"message": "You have exceeded a secondary rate limit"}, Retry_After="9"), 9),
        (
            answers(
                403,
                {"message": "API rate limit exceeded"},
                x_ratelimit_remaining="0",
                x_ratelimit_reset="1040",
            ),
            41,
        ),
        (answers(403, {"message": "You have exceeded a secondary rate limit."}), 60),
    ],
)
def test_limits_are_kept_for_questions_and_for_what_is_sent(
    host: Host, waits: list[float], trouble: githost.Trouble, waited: float
) -> None:
    ours = github(host, waits, clock=lambda: 1000.0)
    host.trouble = [trouble, None, trouble]
    assert sticky.put(ours, "preview", "text").did is Did.CREATED
    assert waits == [waited, waited]
    assert len(host.bodies()) == 1


def test_a_limit_that_holds_for_long_is_told_not_waited_for(host: Host, waits: list[float]) -> None:
    ours = github(host, waits, clock=lambda: 1000.0)
    host.trouble = [answers(403, {}, x_ratelimit_remaining="0", x_ratelimit_reset="4599")]
    with pytest.raises(Problems, match="for 3600 s more") as wrong:
        sticky.put(ours, "preview", "text")
    assert code(wrong) == "host/rate-limited"
    assert waits == []
    host.trouble = [answers(429, {}, Retry_After="80")] * 9
    with pytest.raises(Problems) as wrong:
        sticky.put(ours, "preview", "text")
    assert code(wrong) == "host/rate-limited"
    assert sum(waits) <= ours.calls.patience_s


def test_refusals_have_codes_and_the_hosts_words_and_are_not_repeated(host: Host, waits: list[float]) -> None:
    cases = [
        (github(host, waits, "revoked"), "host/unauthorized", "Bad credentials"),
        (GitHub(github(host, waits).calls, "acme/other", 7), "host/not-found", "Not Found"),
        (GitHub(github(host, waits).calls, host.repository, 99), "host/not-found", "Not Found"),
    ]
    host.readers = frozenset({BOT})
    cases.append((github(host, waits), "host/forbidden", "not accessible by integration"))
    for ours, expected, words in cases:
        with pytest.raises(Problems, match=words) as wrong:
            sticky.put(ours, "preview", "text")
        assert code(wrong) == expected
        assert wrong.value.exit == 4
    host.readers = frozenset()
    host.trouble = [
        None,
        answers(422, {"message": "Validation Failed", "errors": [{"message": "no \x1b[31m"}]}),
    ]
    with pytest.raises(Problems, match="Validation Failed; no  ") as wrong:
        sticky.put(github(host, waits), "preview", "text")
    assert code(wrong) == "host/not-valid"
    assert waits == []


def test_the_largest_comment_is_taken_and_a_larger_one_is_not_sent(host: Host, ours: GitHub) -> None:
    room = sticky.room(ours.largest, "preview")
    assert sticky.put(ours, "preview", "é" * room).did is Did.CREATED
    assert len(host.bodies()[0]) == githost.LARGEST
    asked = len(host.asked)
    with pytest.raises(Problems, match="takes") as wrong:
        sticky.put(ours, "preview", "é" * (room - 1) + "🙂")
    assert code(wrong) == "host/too-large"
    assert len(host.asked) == asked


def test_a_renamed_repository_is_found_and_another_host_sees_no_token(host: Host, ours: GitHub) -> None:
    host.renamed = {"acme/old": host.repository}
    renamed = GitHub(ours.calls, "acme/old", 7)
    assert sticky.put(renamed, "preview", "text").did is Did.CREATED
    with githost.serving() as other:
        for trouble in (
            answers(307, {}, Location=f"{other.url}/user"),
            answers(200, [], Link=f'<{other.url}/user>; rel="next"'),
        ):
            host.trouble = [trouble]
            with pytest.raises(Problems):
                sticky.put(ours, "preview", "text")
        assert other.asked == []


def test_an_address_that_is_no_api_is_said(host: Host, ours: GitHub) -> None:
    for trouble, says in (
        ([answers(200, {"login": "page"})], "no list"),
        ([answers(200, [{"name": "release"}])], "no comment"),
        ([answers(200, ["word"])], "no comment"),
        ([None, answers(201)], "no comment"),
    ):
        host.trouble = list(trouble)
        with pytest.raises(Problems, match=says) as wrong:
            sticky.put(ours, "preview", "text")
        assert code(wrong) == "host/no-answer"


def test_gitlab_keeps_the_same_promises(waits: list[float]) -> None:
    with githost.serving(kind=githost.GitLabRequest) as host:
        host.per_page = 3
        for count in range(8):
            host.say("ann", f"{mark('preview')} {count}")
        host.say("ann", mark("preview"))
        ours = GitLab(Calls(host.url, "job-token", wait=waits.append), host.repository, 7)
        did = [sticky.put(ours, "preview", text).did for text in ("one", "two", "two")]
        assert did == [Did.CREATED, Did.UPDATED, Did.UNCHANGED]
        assert host.bodies(BOT) == [f"{mark('preview')}\ntwo"]
        assert sticky.drop(ours, "preview").did is Did.REMOVED
        assert len(host.bodies("ann")) == 9


@pytest.fixture
def job(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The environment of a job that a pull request started."""
    for name in ("GITLAB_CI", "GITHUB_EVENT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GITHUB_TOKEN", "job-token")
    monkeypatch.setenv("GITHUB_API_URL", host.url)
    monkeypatch.setenv("GITHUB_REPOSITORY", host.repository)
    monkeypatch.setenv("GITHUB_REF", "refs/pull/7/merge")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    text = tmp_path / "preview.md"
    text.write_text("### Skywright: 1 stack changes\n")
    return text


def test_a_job_needs_no_flags(host: Host, job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["comment", str(job), "--summary", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["did"] == "created"
    assert told["url"].endswith("/acme/models/pull/7#issuecomment-1001")
    assert (job.parent / "summary.md").read_text() == job.read_text()
    assert main(["comment", str(job)]) == 0
    assert capfd.readouterr().out.startswith("comment unchanged: http")
    assert main(["comment", "--delete"]) == 0
    assert capfd.readouterr().out == "comment removed\n"
    assert all("job-token" not in said for said in host.heard)


def test_the_number_comes_from_the_event_and_flags_win(
    host: Host, job: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    event = job.with_name("event.json")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
    event.write_text('{"pull_request": {"number": 8}}')
    assert main(["comment", str(job)]) == 0
    assert len(host.bodies(pull=8)) == 1
    event.write_text('{"issue": {"number": 3}}')
    assert main(["comment", str(job), "--json"]) == 2
    assert (
        json.loads(capfd.readouterr().out.partition("\n")[2])["problems"][0]["code"]
        == "usage/no-pull-request"
    )
    words = ["--pr", "7", "--repo", "acme/models", "--api", host.url + "/", "--key", "eu"]
    assert main(["comment", str(job), *words]) == 0
    assert host.bodies() == [f"{mark('eu')}\n{job.read_text()}"]


def test_stdin_is_a_file_too(host: Host, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("größer\n".encode())))
    assert main(["comment", "-"]) == 0
    assert host.bodies() == [f"{mark('preview')}\ngrößer\n"]


def test_where_comments_are_refused_the_summary_stays(host: Host, job: Path) -> None:
    host.readers = frozenset({BOT})
    assert main(["comment", str(job), "--summary"]) == 4
    assert (job.parent / "summary.md").read_text() == job.read_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--key", "a--b"], "usage/flag-value"),
        (["--key", "x" * 61], "usage/flag-value"),
        (["--repo", "acme"], "usage/flag-value"),
        (["--repo", "acme/../models"], "usage/flag-value"),
        (["--pr", "0"], "usage/flag-value"),
        (["--api", "http://github.example"], "usage/flag-value"),
        (["--api", "https://me:hush@github.example"], "usage/flag-value"),
        (["nothing.md"], "usage/no-file"),
        (["empty.md"], "usage/empty-comment"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_sent(
    host: Host, job: Path, capfd: pytest.CaptureFixture[str], words: list[str], expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(job.parent)
    (job.parent / "empty.md").write_text(" \n")
    file = [] if words[0].endswith(".md") else [str(job)]
    assert main(["comment", *file, *words, "--json"]) == 2
    out = capfd.readouterr().out
    assert json.loads(out)["problems"][0]["code"] == expected
    assert "hush" not in out
    assert host.asked == []


@pytest.mark.parametrize(("token", "expected"), [("", "host/no-token"), ("line\nbreak", "host/unauthorized")])
def test_a_token_that_is_none_is_not_sent_nor_shown(
    host: Host,
    job: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    expected: str,
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", token)
    assert main(["comment", str(job), "--json"]) == 4
    out, err = capfd.readouterr()
    assert json.loads(out)["problems"][0]["code"] == expected
    assert "break" not in out + err
    assert host.asked == []


def test_a_host_that_says_the_token_back_is_not_repeated(
    host: Host, job: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    host.trouble = [answers(400, {"message": "bad header Bearer job-token"})]
    assert main(["comment", str(job)]) == 4
    out, err = capfd.readouterr()
    assert "job-token" not in out + err
    assert "***" in err
