"""A package, not only a folder: some libraries install a package `tests` of their own, and it would hide this one."""
