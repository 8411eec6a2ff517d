"""Where the orderings of the sources stand, and what each can be weakened to. Used by orderings.py.

A site is named by its file, its function, what is operated on, and its ordering; never by a line, so a name outlives
what changes around it. Code that only builds for tests have is left out: what a cfg of theirs brings in, and planted
mistakes.
"""

import re
from collections import Counter
from dataclasses import dataclass

SOURCES = ("src/raw", "src/reclaim")

# cfgs under which code exists in test builds alone.
MODEL_CFGS = {"readmostly_faults", "readmostly_loom", "readmostly_shuttle", "readmostly_contract", "test"}

# What an operation can be weakened to: each ordering that is next below, and for SeqCst accesses also the bottom.
WEAKER = {
    "load": {"SeqCst": ["Acquire", "Relaxed"], "Acquire": ["Relaxed"]},
    "store": {"SeqCst": ["Release", "Relaxed"], "Release": ["Relaxed"]},
    "change": {
        "SeqCst": ["AcqRel", "Relaxed"],
        "AcqRel": ["Acquire", "Release"],
        "Acquire": ["Relaxed"],
        "Release": ["Relaxed"],
    },
    "fence": {"SeqCst": ["AcqRel", "removed"], "AcqRel": ["Acquire", "Release", "removed"]},
    "compiler_fence": {},
}

# An AcqRel of which neither half was missed is tried without both.
LAST_RESORT = "Relaxed"

CHANGES = r"swap|fetch_\w+|compare_exchange(_weak)?|compare_and_swap|update|try_update"


@dataclass(frozen=True)
class Site:
    """One ordering in the code."""

    file: str  # under src
    place: str  # the function, what is operated on, and how
    ordering: str
    kind: str
    span: tuple  # of what a mutant replaces

    @property
    def key(self):
        return f"{self.file} {self.place} {self.ordering}"

    def mutants(self):
        """What the ordering is weakened to, and what besides if all of these survive."""
        removed = ["removed"] if self.kind in ("fence", "compiler_fence") else None
        first = WEAKER[self.kind].get(self.ordering, removed)
        if not first:
            raise Misfit(f"{self.key}: a {self.kind} does not take this ordering")
        return first, [LAST_RESORT] if self.kind == "change" and self.ordering == "AcqRel" else []

    def mutate(self, text, weaker):
        start, end = self.span
        return text[:start] + ("()" if weaker == "removed" else f"Ordering::{weaker}") + text[end:]


class Misfit(Exception):
    """Something that the tool does not understand, or that is not as it expects."""


NO_CODE = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | b?r(?P<hashes>\#*)".*?"(?P=hashes) | b?"(?:\\.|[^"\\])*" | b?'(?:\\.[^']*|[^\\'\n])'""",
    re.DOTALL | re.VERBOSE,
)


def code_of(text):
    """The text with comments and literals blanked out, each character at its place."""
    return NO_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def partner(code, at, step):
    """Where the bracket that opens or closes the one at `at` is, looking forward or back."""
    depth = 0
    while 0 <= at < len(code):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(code[at], 0)
        if depth == 0:
            return at
        at += step
    raise Misfit("brackets do not match")


def split_outside_brackets(text):
    parts, depth = [""], 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def model_only(condition):
    """Whether a cfg condition holds in builds for tests alone."""
    match = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", condition, re.DOTALL)
    if not match:
        return condition.strip() in MODEL_CFGS
    inner = [model_only(part) for part in split_outside_brackets(match[2]) if part]
    return {"all": any, "any": all}.get(match[1], lambda _: False)(inner)


def end_of_item(code, start):
    """The end of the item, statement, arm or field that starts at `start`."""
    at = start
    while at < len(code):
        if code[at] == ";" or code[at] == "," and "=>" in code[start:at]:
            return at + 1
        if code[at] == "{":
            return partner(code, at, 1) + 1
        if code[at] in "([":
            at = partner(code, at, 1)
        elif code[at] in ")]}":
            return at
        at += 1
    return at


def model_cfgs(code):
    """Where the attributes begin and end that bring in what test builds alone have; other attributes may follow."""
    for match in re.finditer(r"#\[cfg\(", code):
        close = partner(code, match.end() - 1, 1)
        if model_only(code[match.end() : close]):
            after = close + 2
            while attribute := re.match(r"\s*#\[", code[after:]):
                after = partner(code, after + attribute.end() - 1, 1) + 1
            yield match.start(), after


def test_code(code):
    """The spans that no released build has: what a cfg excludes, and planted mistakes."""
    spans = [(start, end_of_item(code, after)) for start, after in model_cfgs(code)]
    for match in re.finditer(r"\bif\s+fault!\(\w+\)\s*(&&|=>|\{)", code):
        brace = code.index("{", match.end() - 1)
        spans.append((match.start(), partner(code, brace, 1) + 1))
    return spans


def test_files(sources):
    """The files of modules that no released build has."""
    files = set()
    for path in sources:
        text = path.read_text()
        code = code_of(text)
        for start, after in model_cfgs(code):
            if match := re.match(r"\s*(?:pub\s*(?:\([^)]*\)\s*)?)?mod\s+(\w+)\s*;", code[after:]):
                given = re.search(r'#\[path\s*=\s*"([^"]+)"', text[start:after])
                children = path.parent if path.name == "mod.rs" else path.with_suffix("")
                files.add(path.parent / given[1] if given else children / f"{match[1]}.rs")
    return files


def name_of_scope(header):
    """What an opening brace begins: the name of a function, or of what an `impl` is for; nothing otherwise."""
    if match := re.search(r"\bfn\s+(\w+)", header):
        return "fn", match[1]
    match = re.search(r"\bimpl\b(.*)", header, re.DOTALL)
    if not match:
        return None
    # Type parameters and bounds away: what stays is `Type` or `Trait for Type`.
    bare = re.sub(r"\bwhere\b.*", "", match[1].replace("->", ""), flags=re.DOTALL)
    while (shorter := re.sub(r"<[^<>]*>", "", bare)) != bare:
        bare = shorter
    return "impl", re.findall(r"\w+", bare.split(" for ")[-1])[-1]


def functions(code):
    """The span and name of each function, outer ones first."""
    stack, found, start = [], [], 0
    for at, char in enumerate(code):
        if char in "([{":
            stack.append((char, name_of_scope(code[start:at]) if char == "{" else None, at))
        elif char in ")]}":
            opened, scope, begin = stack.pop()
            if scope and scope[0] == "fn":
                types = [outer[1] for _, outer, _ in stack if outer and outer[0] == "impl"]
                found.append((begin, at, "::".join([*types[-1:], scope[1]])))
        if char in "{}" or char == ";" and (not stack or stack[-1][0] == "{"):
            start = at + 1
    return sorted(found)


def receiver_of(before):
    """The last name of the expression that a method is called on."""
    before = before.rstrip()
    if not before:
        return ""
    if before[-1] in ")]":
        return receiver_of(before[: partner(before, len(before) - 1, -1)])
    if before[-1] == "}":
        return receiver_of(before[partner(before, len(before) - 1, -1) + 1 : -1])
    match = re.search(r"(?:\w+\.)?\d+$|\w+$", before)
    return match.group() if match else ""


def operation_at(code, at):
    """The call of which the ordering at `at` is an argument: how it is called in a key, its kind, and its span."""
    opening, depth = at, 0
    while depth >= 0:
        opening -= 1
        if opening < 0:
            raise Misfit("an ordering outside of a call")
        depth += {"(": -1, "[": -1, "{": -1, ")": 1, "]": 1, "}": 1}.get(code[opening], 0)
    match = re.search(r"(\.\s*)?(\w+)\s*$", code[:opening])
    if not match or code[opening] != "(":
        raise Misfit("an ordering outside of a call")
    name, argument = match[2], len(split_outside_brackets(code[opening + 1 : at])) - 1
    if name in ("fence", "compiler_fence"):
        return name, name, (match.start(2), partner(code, opening, 1) + 1)
    if name not in ("load", "store") and not re.fullmatch(CHANGES, name):
        raise Misfit(f"`{name}` is no operation that is known to take an ordering")
    first = {"compare_exchange": 2, "compare_exchange_weak": 2, "fetch_update": 0, "try_update": 0}.get(name)
    role, kind = "", name if name in ("load", "store") else "change"
    if first is not None:
        role = " success" if argument == first else " failure"
        kind = kind if argument == first else "load"
    return f"{receiver_of(code[: match.start()])}.{name}{role}".lstrip("."), kind, None


def sites_in(path, root):
    """The sites of one file, and how many more stand in code for tests."""
    code = code_of(path.read_text())
    spans, skipped, found = test_code(code), 0, []
    scopes = functions(code)
    for match in re.finditer(r"\bOrdering::(Acquire|Release|AcqRel|SeqCst)\b", code):
        at = match.start()
        if any(start <= at < end for start, end in spans):
            skipped += 1
            continue
        try:
            operation, kind, span = operation_at(code, at)
        except Misfit as misfit:
            line = code.count("\n", 0, at) + 1
            raise Misfit(f"{path.relative_to(root)}:{line}: {misfit}") from None
        around = [name for begin, end, name in scopes if begin < at < end]
        place = f"{around[-1] if around else 'static'} {operation}"
        file = str(path.relative_to(root / "src"))
        found.append(Site(file, place, match[1], kind, span or match.span()))
    return numbered(found), skipped


def numbered(found):
    """Tells sites apart that have the same place, by their order."""
    total, seen = Counter((site.place, site.ordering) for site in found), Counter()
    for index, site in enumerate(found):
        same = (site.place, site.ordering)
        seen[same] += 1
        if total[same] > 1:
            found[index] = Site(site.file, f"{site.place} #{seen[same]}", site.ordering, site.kind, site.span)
    return found


def all_sites(root):
    """All sites of the sources, and how many orderings stand in code for tests."""
    sources = [path for source in SOURCES for path in sorted((root / source).rglob("*.rs"))]
    leave_out = test_files(sources)
    found = [sites_in(path, root) for path in sources if path not in leave_out]
    return [site for sites, _ in found for site in sites], sum(skipped for _, skipped in found)
