"""XML that is changed stays XML, and the changes reach elements, attributes, texts and namespaces."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.xml_mutator import mutate_xml

SEEDS = range(2000)
TRACK = b'<gpx xmlns="urn:g"><trk><pt lat="1" lon="2"><time>2026-03-04</time></pt><pt lat="3"/></trk></gpx>'


@st.composite
def elements(draw: st.DrawFn, levels: int = 3) -> Element:
    made = Element(draw(st.sampled_from(["a", "{urn:a}b", "c"])))
    made.text = draw(st.text("ab <&é", max_size=4))
    if draw(st.booleans()):
        made.set(draw(st.sampled_from(["x", "{urn:b}y"])), draw(st.text('ab"<&é', max_size=4)))
    if levels:
        made.extend(draw(st.lists(elements(levels - 1), max_size=3)))
    return made


@given(elements(), st.integers(0, 2**32))
def test_a_document_stays_one(root: Element, seed: int) -> None:
    before = ElementTree.tostring(root, "utf-8")
    made = mutate_xml(before, 1 << 20, seed)
    assert made == mutate_xml(before, 1 << 20, seed)
    assert made is not None
    ElementTree.fromstring(made)


def test_every_element_attribute_text_and_namespace_is_changed() -> None:
    made = {one for seed in SEEDS if (one := mutate_xml(TRACK, 1 << 20, seed))}
    roots = [ElementTree.fromstring(one) for one in made]
    points = [[*root.iter("{urn:g}pt")] for root in roots]
    assert {*map(len, points)} >= {0, 1, 2, 3, 5}
    assert any("lat" not in one.attrib for found in points for one in found)
    assert len({one.get("lat") for found in points for one in found}) > 30
    assert len({one.text for root in roots for one in root.iter("{urn:g}time")}) > 30
    assert any(root.tag == "gpx" for root in roots)
    assert any(root.find(".//{urn:g}pt/{urn:g}pt") is not None for root in roots)
    assert any([one.get("lat") for one in found] == ["3", "1"] for found in points)
    assert any(one.count(b"<a>") == 60 for one in made)
    assert any("utf-16".encode("utf-16-le") in one for one in made)
    assert len(made) > 300


def test_what_is_too_long_or_no_document_is_left_to_others() -> None:
    assert mutate_xml(b"", 100, 1) is None
    assert mutate_xml(b"<a>", 100, 1) is None
    assert mutate_xml(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 1000, 1) is None
    assert all(len(mutate_xml(b"<a><b/></a>", 20, seed) or b"") <= 20 for seed in SEEDS)
