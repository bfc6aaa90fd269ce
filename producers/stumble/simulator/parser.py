"""Parses stories from text.

    story NAME weight=2 needs=active,stopped leaves=active moves=second
      request ACTION OUTCOME effect=NONE verdict=CLASS failures=a,b id=1 target=volume
      cause KEY POOL|unraised.CLASS wraps=KEY
      ROLE WHAT !CAUSE vm=STATE task=STATE req=1 wait=0.5

WHAT is `action_start`, `+ STEP` (step starts), `- STEP` (step finishes; with a cause: fails), `fault`,
`exception`, `migration STATUS`, or a notification (`instance.create.start`, `instance.lock`).
A line `plain ACTION STEP NOTIFICATION|none POOL …` expands to the two stories of a one-step action, ACTION and
ACTION.fails.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from itertools import pairwise

from stumble.simulator.story import Cause, RequestTruth, Story, StoryError, StorySignal

_ROLES = frozenset({"api", "conductor", "host", "second", "third"})
_PHASES = {"start": "START", "end": "END", "error": "ERROR", "progress": "PROGRESS"}
_MIGRATION_PHASES = {"error": "ERROR", "failed": "ERROR", "completed": "END", "cancelled": "END"}
_LONG_WAIT = 0.8
_SHORT_WAIT = 0.05


@cache
def all_stories() -> tuple[Story, ...]:
    """Return every story of the package, sorted by name.

    Raises:
        StoryError: a file cannot be parsed.

    """
    stories: list[Story] = []
    for file in sorted(files(f"{__package__}.stories").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".story"):
            stories += parse_stories(file.read_text(encoding="utf-8"), file.name)
    return tuple(sorted(stories, key=lambda story: story.name))


def parse_stories(text: str, name: str = "text") -> list[Story]:
    """Parse stories from text; `name` appears in errors.

    Raises:
        StoryError: with file, line number and reason.

    """
    lines = [
        (number, expanded.split())
        for number, line in enumerate(text.splitlines(), 1)
        for expanded in _expand(line.partition("#")[0].strip(), f"{name}: line {number}")
    ]
    starts = [index for index, (_, tokens) in enumerate(lines) if tokens[0] == "story"]
    if lines and (not starts or starts[0] != 0):
        raise StoryError(f"{name}: line {lines[0][0]}: text before the first story")
    return [_story(lines[begin:end], name) for begin, end in pairwise([*starts, len(lines)])]


def _expand(line: str, where: str) -> list[str]:
    """Return the expanded lines of a `plain` line, any other line unchanged, and no line for an empty one."""
    tokens = line.split()
    if not tokens or tokens[0] != "plain":
        return [line] if line else []
    plain, _, options = _split(tokens[1:])
    if len(plain) not in {4, 5}:
        raise StoryError(f"{where}: plain needs ACTION STEP NOTIFICATION POOL [error]")
    action, step, notification, pool = plain[:4]
    vm_state = " vm=error" if options["effect"] == "ERROR" else ""
    head = f"weight={options['weight']} needs={options.get('needs', 'active')} leaves="
    target = f" target={options['target']}" if "target" in options else ""
    start, end, error = [], [], []
    if notification != "none":
        task = f" task={options['task']}" if "task" in options else ""
        start = [f"host {notification}.start{task}"]
        end = [f"host {notification}.end vm={options['leaves']}"]
        error = [f"host {notification}.error !a wait=0.05"] if plain[4:] == ["error"] else []
    leaves = "error" if vm_state else "same"
    return [
        f"story {action} {head}{options['leaves']}",
        f"request {action} SUCCEEDED{target}",
        *("api action_start", f"host + {step}", *start, *end, f"host - {step}"),
        f"story {action}.fails {head}{leaves}",
        f"request {action} FAILED effect={options['effect']} failures=a{target}",
        f"cause a {pool}",
        *("api action_start", f"host + {step}", *start, f"host fault !a wait=0.8{vm_state}", *error),
        *(f"host - {step} !a", "host exception !a"),
    ]


def _story(lines: list[tuple[int, list[str]]], name: str) -> Story:
    head, _, options = _split(lines[0][1][1:])
    requests: list[RequestTruth] = []
    causes: list[Cause] = []
    signals: list[StorySignal] = []
    for number, tokens in lines[1:]:
        try:
            if tokens[0] == "request":
                requests.append(_request(tokens[1:]))
            elif tokens[0] == "cause":
                causes.append(_cause(tokens[1:]))
            else:
                signals.append(_signal(tokens, signals))
        except (KeyError, IndexError, ValueError) as error:
            raise StoryError(f"{name}: line {number}: cannot parse {' '.join(tokens)!r}: {error}") from None
    story = Story(
        name=head[0],
        weight=float(options.get("weight", "1")),
        needs=tuple(options.get("needs", "active").split(",")),
        leaves=options.get("leaves", "active"),
        requests=tuple(requests),
        causes=tuple(causes),
        signals=tuple(signals),
        moves=options.get("moves"),
    )
    _check(story, f"{name}: story {story.name}")
    return story


def _check(story: Story, where: str) -> None:
    keys = {cause.key for cause in story.causes}
    shown = {signal.cause for signal in story.signals if signal.cause}
    if shown - keys or keys - shown:
        raise StoryError(f"{where}: causes declared {sorted(keys)}, shown {sorted(shown)}")
    if any(signal.request >= len(story.requests) for signal in story.signals):
        raise StoryError(f"{where}: a signal belongs to a request that is not declared")


def _split(tokens: list[str]) -> tuple[list[str], str | None, dict[str, str]]:
    plain = [token for token in tokens if "=" not in token and not token.startswith("!")]
    cause = next((token[1:] for token in tokens if token.startswith("!")), None)
    options = dict(token.split("=", 1) for token in tokens if "=" in token)
    return plain, cause, options


def _request(tokens: list[str]) -> RequestTruth:
    plain, _, options = _split(tokens)
    return RequestTruth(
        action=plain[0],
        outcome=plain[1],
        effect=options.get("effect", "NONE"),
        verdict=options.get("verdict"),
        failures=tuple(key for key in options.get("failures", "").split(",") if key),
        identity=int(options.get("id", "0")),
        target_kind=options.get("target"),
        system="system" in plain,
    )


def _cause(tokens: list[str]) -> Cause:
    plain, _, options = _split(tokens)
    return Cause(plain[0], plain[1], options.get("wraps"))


def _signal(tokens: list[str], before: list[StorySignal]) -> StorySignal:
    """Parse one signal; an `exception` belongs to the step that an earlier signal with the same cause ended."""
    plain, cause, options = _split(tokens)
    if plain[0] not in _ROLES:
        raise ValueError(f"unknown role {plain[0]}")
    what, step, status = plain[1], None, None
    if what in "+-":
        step = plain[2]
        name = "event_start" if what == "+" else "event_finish"
        phase = "START" if what == "+" else "ERROR" if cause else "END"
    elif what == "migration":
        name, status = what, plain[2]
        phase = _MIGRATION_PHASES.get(status, "PROGRESS")
    elif what in {"fault", "exception"}:
        name, phase = what, "ERROR"
        if what == "exception":
            step = next((signal.step for signal in before if signal.cause == cause and signal.step), None)
    elif what == "action_start":
        name, phase = what, "START"
    else:
        name, phase = _notification(what)
    slow = phase in {"END", "ERROR"} and name.startswith("instance.")
    return StorySignal(
        role=plain[0],
        name=name,
        phase=phase,
        step=step,
        status=status,
        cause=cause,
        vm_state=options.get("vm"),
        task_state=options.get("task"),
        request=int(options.get("req", "0")),
        wait=float(options.get("wait", _LONG_WAIT if slow else _SHORT_WAIT)),
    )


def _notification(what: str) -> tuple[str, str]:
    name, _, phase = what.rpartition(".")
    if phase in _PHASES:
        return name, _PHASES[phase]
    return what, "PROGRESS"
