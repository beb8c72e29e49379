"""
What must never happen to a request, whatever engines do: invariants I1-I12 of the routing page as properties.

Each run draws a cascade, bounds, and for every call an outcome, a logprob and a duration; then the two pure functions
drive the request to its end, as the router does.
"""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from modelcascade.api.documents import Routes
from modelcascade.api.reasons import RequestReason
from modelcascade.routing.attempts import Attempt, Cause, Outcome, VerdictKind
from modelcascade.routing.facts import RequestFacts
from modelcascade.routing.fleet import FleetView, TierView
from modelcascade.routing.judge import judge_attempt
from modelcascade.routing.steps import MAX_ATTEMPTS_A_TIER, AnswerWith, CallTier, Fail, next_step
from routing.builders import answer, facts, routes

NAMES = ("small", "middle", "top")
FAILURES = [outcome for outcome in Outcome if outcome not in (Outcome.OK, Outcome.CLIENT_LEFT)]


@dataclass
class Run:
    """One request from its start to its end."""

    routes: Routes
    facts: RequestFacts
    attempts: list[Attempt] = field(default_factory=list)
    calls: list[CallTier] = field(default_factory=list)
    call_times_s: list[float] = field(default_factory=list)
    end: AnswerWith | Fail | None = None


@st.composite
def views(draw: st.DrawFn, names: tuple[str, ...]) -> FleetView:
    """Each tier with none, one or two free endpoints, or busy."""
    kinds: dict[str, TierView] = {}
    for name in names:
        free = draw(st.sampled_from([(), (f"http://{name}",), (f"http://{name}", f"http://{name}-2")]))
        kinds[name] = TierView(free, draw(st.integers(0, 1)))
    return FleetView(kinds, draw(st.booleans()))


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """A request driven to its end."""
    names = NAMES[: draw(st.integers(1, 3))]
    known = routes(
        *names,
        escalation={
            "maxEscalations": draw(st.none() | st.integers(0, 2)),
            "deadlineSeconds": draw(st.integers(1, 60)),
            "onExhausted": draw(st.sampled_from(["BestAnswer", "Reject"])),
        },
        verification={
            "method": draw(st.sampled_from(["Confidence", "None"])),
            "minConfidencePercent": draw(st.sampled_from([0, 50, 70, 100])),
            "onFailure": draw(st.sampled_from(["Escalate", "Accept", "Reject"])),
        },
        streaming=draw(st.sampled_from(["BufferUntilVerified", "PreRoute"])),
    )
    model = draw(st.sampled_from(["assist", "auto", f"assist/{names[0]}", f"assist/{names[-1]}"]))
    run = Run(known, facts(known, model=model, stream=draw(st.booleans())))
    elapsed_s = 0.0
    for _ in range(20):
        view = draw(views(names))
        step = next_step(known, run.facts, run.attempts, view, elapsed_s)
        assert step == next_step(known, run.facts, tuple(run.attempts), view, elapsed_s), (
            "I12: equal inputs, equal steps"
        )
        if not isinstance(step, CallTier):
            run.end = step
            return run
        run.calls.append(step)
        run.call_times_s.append(elapsed_s)
        outcome = draw(st.just(Outcome.OK) | st.sampled_from(FAILURES))
        duration_s = step.delay_s + draw(st.floats(0, step.timeout_s))
        elapsed_s += duration_s
        tried = [attempt.endpoint for attempt in run.attempts]
        free = view.tier(step.tier.name).free
        made = Attempt(
            tier=step.tier.name,
            rank=step.tier.rank,
            cause=step.cause,
            reason=step.reason,
            commit=step.commit,
            outcome=outcome,
            endpoint=next((address for address in free if address not in tried), free[0]),
            status=400 if outcome is Outcome.REJECTED else None,
        )
        if outcome is Outcome.OK:
            logprobs = draw(st.sampled_from([(), (-0.01,), (-0.5,), (-3.0,)]))
            finish = draw(st.sampled_from(["stop", "length"]))
            made = replace(made, answer=answer(logprobs=logprobs, finish_reason=finish))
            made = replace(made, verdict=judge_attempt(known, run.facts, made))
        run.attempts.append(made)
    return run


@settings(max_examples=150, deadline=None)
@given(runs())
def test_every_request_ends_with_one_answer_or_one_error(run: Run) -> None:
    """I1, I8: it ends inside len(tiers) calls and one retry a tier, with exactly one end."""
    assert run.end is not None
    retries = sum(call.cause is Cause.RETRY for call in run.calls)
    assert len(run.calls) - retries <= len(run.facts.candidates)
    for tier in run.facts.candidates:
        assert sum(call.tier.name == tier.name for call in run.calls) <= MAX_ATTEMPTS_A_TIER
    if isinstance(run.end, Fail):
        assert 400 <= run.end.status < 600
        assert run.end.message


@settings(max_examples=150, deadline=None)
@given(runs())
def test_quality_only_goes_up_and_never_asks_twice(run: Run) -> None:
    """I2, I9: a tier that answered is not asked again, and after an answer only higher tiers are."""
    for position, made in enumerate(run.attempts):
        if made.answer is None:
            continue
        later = run.calls[position + 1 :]
        assert all(call.tier.rank > made.rank for call in later)


@settings(max_examples=150, deadline=None)
@given(runs())
def test_bounds_hold(run: Run) -> None:
    """I4: no call begins after the deadline or may outlast it, and escalations stay inside their bound."""
    for call, at_s in zip(run.calls, run.call_times_s, strict=True):
        assert at_s < run.facts.deadline_s
        assert at_s + call.delay_s + call.timeout_s <= run.facts.deadline_s + 1e-9
    bound = run.routes.escalation.max_escalations
    escalations = sum(call.cause is Cause.ESCALATION for call in run.calls)
    assert bound is None or escalations <= bound


@settings(max_examples=150, deadline=None)
@given(runs())
def test_a_commitment_is_the_last_word(run: Run) -> None:
    """I5, I6: no tier is asked for quality after a commitment, and its answer is the one that is given."""
    for position, call in enumerate(run.calls):
        if call.commit and run.attempts[position].answer is not None:
            assert position == len(run.calls) - 1
            assert isinstance(run.end, AnswerWith)
            assert run.end.attempt == run.attempts[position]
        if not call.commit:
            above = [tier for tier in run.facts.candidates if tier.rank > call.tier.rank]
            assert above, "only a tier with one above it is verified"


@settings(max_examples=150, deadline=None)
@given(runs())
def test_a_rejected_answer_is_given_only_as_a_best_effort(run: Run) -> None:
    """I6: what did not pass reaches the client at a bound alone, never under Reject, and with its warning."""
    if not isinstance(run.end, AnswerWith):
        return
    verdict = run.end.attempt.verdict
    assert verdict is not None
    if verdict.kind is not VerdictKind.ACCEPT:
        assert run.routes.escalation.on_exhausted == "BestAnswer"
        assert (run.end.reason, verdict.releasable) == (RequestReason.EXHAUSTED, True)
        assert "best_effort" in run.end.warnings


@settings(max_examples=150, deadline=None)
@given(runs())
def test_every_step_has_a_reason_of_the_closed_list(run: Run) -> None:
    """I10: each call and each end says why, in the words of the enum."""
    assert all(call.reason in RequestReason for call in run.calls)
    assert run.end is None or run.end.reason in RequestReason


@settings(max_examples=150, deadline=None)
@given(runs())
def test_an_answer_is_given_as_the_engine_gave_it(run: Run) -> None:
    """I11: the answer at the end is one of the attempts' own, untouched."""
    if isinstance(run.end, AnswerWith):
        assert run.end.attempt in run.attempts


@settings(max_examples=150, deadline=None)
@given(runs())
def test_a_pinned_request_stays_at_its_tier(run: Run) -> None:
    """A request that names its tier is answered by it or not at all."""
    if run.facts.pinned:
        assert {call.tier.name for call in run.calls} <= {run.facts.candidates[0].name}
