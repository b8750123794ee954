# In the place of eclipse-mosquitto: the folders where the public image has them, which the broker's user may write.
FROM localhost/edgefleet/debian:bookworm
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends mosquitto mosquitto-clients >/dev/null \
    && install -d /mosquitto/config \
    && install -d -o mosquitto -g mosquitto /mosquitto/data /mosquitto/log
CMD ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
