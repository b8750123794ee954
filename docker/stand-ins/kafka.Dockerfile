# In the place of apache/kafka: the broker's jars, a JRE, and the same user and folder of data.
FROM localhost/edgefleet/debian:bookworm
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends openjdk-17-jre-headless >/dev/null \
    && useradd --uid 1000 appuser \
    && install -d -o appuser -g appuser /var/lib/kafka/data /opt/kafka/config /opt/kafka/logs /etc/kafka/secrets
COPY --from=jars . /opt/kafka/libs
COPY kafka-start /opt/kafka/start
USER appuser
CMD ["/opt/kafka/start"]
