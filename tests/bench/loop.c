// SPDX-License-Identifier: GPL-2.0-only
/*
 * DOC: traffic without a will of its own, to tell two modules apart by less than one per cent:
 *
 *	loop FLOWS SEGMENTS WARM_MS WINDOW_MS WINDOWS
 *
 * sends DATAGRAMS datagrams on each flow, from 10.1.0.I in namespace "source" to 10.2.0.I in
 * namespace "drain", takes them all in, and begins again; one CPU never waits meanwhile. Prints a
 * line for each window: nanoseconds per datagram. SEGMENTS is how many the kernel gets at once, as
 * one GSO buffer. A TCP connection decides by its own clock what is sent when, which alone makes
 * windows differ by 4 %. Exit status 1 when a datagram is lost.
 */
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX 16
#define DATAGRAMS 32
#define BYTES	  1300
#define PORT	  9000
#define LOST_MS	  5000

static int to[FLOWS_MAX], from[FLOWS_MAX];
static int flows, segments;
static char buffer[DATAGRAMS * BYTES];

/* A socket of 10.NET.0.FLOW in that namespace. */
static int udp(const char *ns, int net, int flow, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd, room = 8 << 20;
	char path[64];

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err(1, "%s", path);
	close(fd);
	a.sin_addr.s_addr = htonl(10u << 24 | (uint32_t)net << 16 | (uint32_t)flow);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		err(1, "flow %d", flow);
	return fd;
}

static void connect_flow(int i)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int bytes = BYTES;

	from[i] = udp("drain", 2, i + 1, PORT);
	to[i] = udp("source", 1, i + 1, 0);
	if (getsockname(from[i], (struct sockaddr *)&a, &len) ||
	    connect(to[i], (struct sockaddr *)&a, len) ||
	    (segments > 1 && setsockopt(to[i], SOL_UDP, UDP_SEGMENT, &bytes, sizeof(bytes))))
		err(1, "flow %d", i + 1);
}

static void take(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char b[BYTES];

	for (int n = 0; n < DATAGRAMS;) {
		if (recv(fd, b, sizeof(b), MSG_DONTWAIT) > 0)
			n++;
		else if (poll(&p, 1, LOST_MS) <= 0)
			errx(1, "%d of %d datagrams are lost", DATAGRAMS - n, DATAGRAMS);
	}
}

static void once(void)
{
	int i, n;

	for (n = 0; n < DATAGRAMS; n += segments)
		for (i = 0; i < flows; i++)
			if (send(to[i], buffer, (size_t)segments * BYTES, 0) < 0)
				err(1, "send");
	for (i = 0; i < flows; i++)
		take(from[i]);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ns per datagram */
static double window(int ms)
{
	uint64_t start = now_ns(), rounds = 0;

	do {
		once();
		rounds++;
	} while (now_ns() - start < (uint64_t)ms * 1000000u);
	return (double)(now_ns() - start) / (double)(rounds * DATAGRAMS * (uint64_t)flows);
}

int main(int argc, char **argv)
{
	if (argc != 6)
		errx(1, "usage: loop FLOWS SEGMENTS WARM_MS WINDOW_MS WINDOWS");
	flows = atoi(argv[1]);
	segments = atoi(argv[2]);
	if (flows < 1 || flows > FLOWS_MAX || segments < 1 || DATAGRAMS % segments)
		errx(1, "at most %d flows; segments divide %d", FLOWS_MAX, DATAGRAMS);
	for (int i = 0; i < flows; i++)
		connect_flow(i);
	window(atoi(argv[3]));
	for (int i = 0; i < atoi(argv[5]); i++) {
		printf("%.1f\n", window(atoi(argv[4])));
		fflush(stdout);
	}
	return 0;
}
