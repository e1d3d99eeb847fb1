"""The judgement: pure, without IO, clock or event loop."""
