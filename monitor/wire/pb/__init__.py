"""Generated from proto/ by requirements/generate-stubs: do not edit."""
