"""Runs the reference HTTP ingest service: validates against the contract, deduplicates by message id, stores.

`store/` keeps the messages and knows nothing of HTTP; `validation` turns bodies into messages; `app` and `api` are
the HTTP service; `server` runs it.
"""
