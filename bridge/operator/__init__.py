"""Lets an operator change the bridge at its admin port: `api` answers, `openapi` describes the port to programs."""
