"""All that tries to make edgefleet lose something, one after the other, and what came of it: docs/proof.md."""
