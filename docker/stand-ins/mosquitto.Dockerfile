# In the place of eclipse-mosquitto: the folders where the public image has them, of the number that its user has there.
FROM localhost/edgefleet/debian:bookworm
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends mosquitto mosquitto-clients >/dev/null \
    && install -d /mosquitto/config \
    && install -d -o 1883 -g 1883 /mosquitto/data /mosquitto/log
CMD ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
