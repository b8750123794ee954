"""`python -m edgefleet`, for where the script is not on the PATH."""

from edgefleet.cli import main

main()
