/* The floor under every MQTT fleet: N connections, one send() a message, bytes made in advance, nothing remembered.
 *
 * floor HOST PORT CONNECTIONS MESSAGES_PER_S SECONDS QOS    prints one JSON object
 *
 * Connections take turns, and wait once WINDOW messages a connection are not acknowledged. CPU time is that of the
 * publishing alone, as the kernel counts it for this process.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 125, HEADER = 2, EVENTS = 512, DRAIN_S = 5, WINDOW = 10 };

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu_s(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return used.ru_utime.tv_sec + used.ru_utime.tv_usec * 1e-6 + used.ru_stime.tv_sec + used.ru_stime.tv_usec * 1e-6;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int dial(const struct sockaddr_in *broker, int number) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr *)broker, sizeof *broker)) fail("connect");
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  char id[16];
  int length = snprintf(id, sizeof id, "floor-%d", number);
  /* CONNECT of MQTT 3.1.1: clean session, no keep alive. */
  uint8_t packet[64] = {0x10, (uint8_t)(12 + length), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, (uint8_t)length};
  memcpy(packet + 14, id, length);
  uint8_t answer[4];
  if (send(fd, packet, 14 + length, 0) < 0 || recv(fd, answer, 4, MSG_WAITALL) != 4 || answer[3]) fail("CONNACK");
  return fd;
}

/* A PUBLISH of PAYLOAD bytes; its packet id is at the returned offset, 0 for QoS 0. */
static int prepare(uint8_t *packet, int number, int qos, int *size) {
  char topic[64];
  int length = snprintf(topic, sizeof topic, "edge/riverside/bme280/floor-%d/telemetry", number);
  int rest = 2 + length + (qos ? 2 : 0) + PAYLOAD, at = 0;
  packet[at++] = 0x30 | (qos << 1);
  packet[at++] = (rest & 127) | 128;
  packet[at++] = rest >> 7;
  packet[at++] = 0;
  packet[at++] = length;
  memcpy(packet + at, topic, length);
  at += length;
  int id = qos ? at : 0;
  at += qos ? 2 : 0;
  memset(packet + at, 'x', PAYLOAD);
  *size = at + PAYLOAD;
  return id;
}

static long receive(int poll, int wait_ms) {
  static uint8_t buffer[1 << 16];
  struct epoll_event events[EVENTS];
  int ready = epoll_wait(poll, events, EVENTS, wait_ms);
  long bytes = 0;
  for (int i = 0; i < ready; i++) {
    ssize_t got = recv(events[i].data.fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) fail("recv");
    bytes += got > 0 ? got : 0;
  }
  return bytes / 4; /* PUBACKs */
}

int main(int argc, char **argv) {
  if (argc != 7) return fprintf(stderr, "floor HOST PORT CONNECTIONS MESSAGES_PER_S SECONDS QOS\n"), 2;
  struct sockaddr_in broker = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &broker.sin_addr);
  int connections = atoi(argv[3]), qos = atoi(argv[6]);
  double rate = atof(argv[4]), seconds = atof(argv[5]);
  int *fds = calloc(connections, sizeof *fds), poll = epoll_create1(0);
  double started = now_s();
  for (int i = 0; i < connections; i++) {
    fds[i] = dial(&broker, i);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
    epoll_ctl(poll, EPOLL_CTL_ADD, fds[i], &event);
  }
  double connect_s = now_s() - started, cpu = cpu_s(), elapsed_s;
  uint8_t packet[256];
  long sent = 0, acknowledged = 0, messages = (long)(rate * seconds);
  started = now_s();
  while (sent < messages) {
    long due = (long)((now_s() - started) * rate) + 1;
    for (; sent < due && sent < messages; sent++) {
      int size, id = prepare(packet, sent % connections, qos, &size);
      uint16_t number = 1 + sent / connections % 65535;
      if (id) packet[id] = number >> 8, packet[id + 1] = number & 255;
      while (qos && sent - acknowledged >= WINDOW * connections) acknowledged += receive(poll, 10);
      if (send(fds[sent % connections], packet, size, 0) != size) fail("send");
    }
    double wait_s = started + sent / rate - now_s();
    acknowledged += receive(poll, wait_s > 0 ? (int)(wait_s * 1000) + 1 : 0);
  }
  elapsed_s = now_s() - started;
  for (double end = now_s() + DRAIN_S; qos && acknowledged < sent && now_s() < end;) acknowledged += receive(poll, 10);
  printf("{\"connected\": %d, \"connect_s\": %.3f, \"elapsed_s\": %.3f, "
         "\"sent\": %ld, \"acknowledged\": %ld, \"cpu_s\": %.4f}\n",
         connections, connect_s, elapsed_s, sent, qos ? acknowledged : sent, cpu_s() - cpu);
  return 0;
}
