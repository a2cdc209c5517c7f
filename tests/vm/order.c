/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: order: numbered datagrams one way, each flow from one CPU, and a receiver that tells lost,
 * reordered and duplicated ones apart. Used by cases of the module.
 *
 *	order receive PORT
 *	order send DST PORT FLOW CPU PACKETS_PER_S SECONDS [SIZE [GSO]]
 *
 * `send` with a rate of 0 sends as fast as it can. GSO: that many datagrams per call, which the
 * kernel keeps in one buffer for as long as it can. Prints how many datagrams it sent.
 * `receive` prints, at SIGTERM and at SIGUSR1 (and then begins anew), a line for each flow:
 *
 *	FLOW received lost reordered duplicated
 *
 * lost: below the highest number seen, and not seen. What is lost at the very end shows against
 * what the sender says. Reordered: after a higher number, for the first time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX 16
#define SEQS_MAX  (1u << 24)
#define SIZE_MAX_ 1400
#define GSO_MAX	  44

struct flow {
	uint32_t received, reordered, duplicated, next;
	uint8_t *seen; /* one bit per number */
};

struct message {
	uint32_t flow, seq;
};

static struct flow flows[FLOWS_MAX];
static volatile sig_atomic_t told; /* signal */

static void on_signal(int number)
{
	told = number;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void print_flows(void)
{
	unsigned int i;

	for (i = 0; i < FLOWS_MAX; i++) {
		struct flow *f = &flows[i];

		if (f->received)
			printf("%u %u %u %u %u\n", i, f->received,
			       f->next - (f->received - f->duplicated), f->reordered,
			       f->duplicated);
		if (f->seen)
			memset(f->seen, 0, SEQS_MAX / 8);
		f->received = f->reordered = f->duplicated = f->next = 0;
	}
	printf("end\n");
	fflush(stdout);
}

static void take(const struct message *m)
{
	struct flow *f;
	uint8_t bit;

	if (m->flow >= FLOWS_MAX || m->seq >= SEQS_MAX)
		return;
	f = &flows[m->flow];
	if (!f->seen && !(f->seen = calloc(1, SEQS_MAX / 8)))
		die("calloc");
	bit = (uint8_t)(1u << (m->seq % 8));
	f->received++;
	if (f->seen[m->seq / 8] & bit)
		f->duplicated++;
	else if (m->seq < f->next)
		f->reordered++;
	f->seen[m->seq / 8] |= bit;
	if (m->seq >= f->next)
		f->next = m->seq + 1;
}

static int receive(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sigaction sa = {.sa_handler = on_signal}; /* interrupts recv() */
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 128 << 20;
	struct message m;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)))
		die("receive");
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		if (recv(fd, &m, sizeof(m), 0) == (ssize_t)sizeof(m))
			take(&m);
		if (!told)
			continue;
		print_flows();
		if (told == SIGTERM)
			return 0;
		told = 0;
	}
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000u),
			      .tv_nsec = (long)(ns % 1000000000u)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* Connected, on its CPU. */
static int sender(const char *dst, int port, int cpu, int size, int gso)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (fd < 0 || sched_setaffinity(0, sizeof(set), &set) ||
	    inet_pton(AF_INET, dst, &a.sin_addr) != 1 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) ||
	    (gso > 1 && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof(size))) ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a)))
		die("send");
	return fd;
}

static int send_flow(int fd, uint32_t flow, double pps, double seconds, int size, int gso)
{
	static char buf[SIZE_MAX_ * GSO_MAX];
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
	uint32_t seq = 0;
	int i;

	while (now_ns() < end && seq < SEQS_MAX - GSO_MAX) {
		for (i = 0; i < gso; i++) {
			struct message m = {flow, seq + (uint32_t)i};

			memcpy(buf + i * size, &m, sizeof(m));
		}
		/* Refused before anything was sent: the same numbers once more. */
		if (send(fd, buf, (size_t)(size * gso), 0) < 0) {
			if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED)
				die("send");
			continue;
		}
		seq += (uint32_t)gso;
		if (pps > 0)
			sleep_until(start + (uint64_t)(seq / pps * 1e9));
	}
	printf("%u %u\n", flow, seq);
	return 0;
}

int main(int argc, char **argv)
{
	int size, gso;

	if (argc == 3 && !strcmp(argv[1], "receive"))
		return receive(atoi(argv[2]));
	if (argc >= 8 && !strcmp(argv[1], "send")) {
		size = argc > 8 ? atoi(argv[8]) : 200;
		gso = argc > 9 ? atoi(argv[9]) : 1;
		if (size >= (int)sizeof(struct message) && size <= SIZE_MAX_ && gso >= 1 &&
		    gso <= GSO_MAX)
			return send_flow(sender(argv[2], atoi(argv[3]), atoi(argv[5]), size, gso),
					 (uint32_t)atoi(argv[4]), atof(argv[6]), atof(argv[7]),
					 size, gso);
	}
	fprintf(stderr, "usage: order receive PORT\n"
			"       order send DST PORT FLOW CPU PACKETS_PER_S SECONDS [SIZE [GSO]]\n");
	return 2;
}
