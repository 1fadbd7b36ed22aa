"""The probes, one module a section of the checklist: each looks at the real thing through a `Context` and gives a `Finding`."""
