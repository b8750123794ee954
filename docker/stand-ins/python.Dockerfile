# In the place of python:3.11-slim-bookworm: Debian's own Python is that version.
FROM localhost/edgefleet/debian:bookworm
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends python3-pip python3-venv >/dev/null \
    && ln -s python3 /usr/bin/python
ENV PIP_CERT=/etc/ssl/host-certificates.crt
CMD ["python"]
