"""Writes a verdict as JUnit's XML, which GitHub, GitLab and Jenkins show beside the results of other tests."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from edgefleet.verify.verdict import Counts, RunVerdict, SinkVerdict
from edgewire.errors import ConfigError
from edgewire.output import write_output

_NOT_IN_XML = {code: "\N{REPLACEMENT CHARACTER}" for code in range(32) if code not in (9, 10, 13)}


def junit_xml(verdict: RunVerdict, duration_s: float) -> bytes:
    """Return a document with one suite: a case for each sink and kind, and one for the run as a whole.

    What is missing is a failure; an error is what is not known. A case says all that its sink has of its kind.
    """
    suite = ElementTree.Element("testsuite", name=f"edgefleet verify {verdict.run_id}", time=f"{duration_s:.3f}")
    _add_case(suite, "run", "all that was sent is there", _shown(verdict.failures()), _shown(verdict.untold))
    for name, sink in verdict.sinks.items():
        for kind, counts in sink.per_kind.items():
            _add_case(suite, name, kind, _shown(_failures(sink, counts)), "", f"{counts.to_json()}")
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for outcome in ("failure", "error"):
        suite.set(f"{outcome}s", str(sum(case.find(outcome) is not None for case in cases)))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    document: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document


def write_junit(path: Path, verdict: RunVerdict, duration_s: float) -> None:
    """Write it; raises `ConfigError` where that cannot be."""
    try:
        write_output(path, junit_xml(verdict, duration_s))
    except OSError as error:
        raise ConfigError(f"--junit: {path}: cannot be written: {error.strerror}") from None


def _failures(sink: SinkVerdict, counts: Counts) -> Iterator[str]:
    if counts.lost:
        more = ", …" if counts.lost > len(counts.missing) else ""
        yield f"{counts.lost:,} were sent and did not arrive: {', '.join(counts.missing)}{more}"
    if counts.altered:
        yield f"{counts.altered:,} arrived with other values than were sent"
        yield from sink.alterations.examples
    if counts.refused:
        yield f"the broker refused {counts.refused:,}"
    if counts.unsent:
        yield f"{counts.unsent:,} never left the devices, or were never confirmed, and did not arrive"
    if counts.overflowed:
        yield f"{counts.overflowed:,} were given up by devices whose outbox was full"


def _shown(sentences: Iterator[str] | list[str]) -> str:
    return "\n".join(sentences).translate(_NOT_IN_XML)


def _add_case(suite: ElementTree.Element, group: str, name: str, failure: str, error: str, output: str = "") -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=f"edgefleet.verify.{group}", name=name)
    for outcome, text in (("failure", failure), ("error", error)):
        if text:
            ElementTree.SubElement(case, outcome, message=text.partition("\n")[0]).text = text
    if output:
        ElementTree.SubElement(case, "system-out").text = output
