"""Where messages are safe: everything between PUBACK and the last sink lives in one SQLite file.

`store` is that file, synchronous and without threads; `writer` commits to it in groups from a thread of its own;
`books` counts what is in it, `letters` is what people do with dead letters.
"""
