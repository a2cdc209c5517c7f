/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: order: numbered datagrams one way, each flow from one CPU, and a receiver that tells lost,
 * reordered and duplicated ones apart. Used by cases of the module.
 *
 *	order receive PORT
 *	order send DST PORT FLOW CPU[,CPU...] PACKETS_PER_S SECONDS [SIZE [GSO]]
 *
 * `send` sends from the CPUs of its list in turns, each datagram after the one before was sent: as
 * a program does that the scheduler moves, and TCP, which sends from where an acknowledgement came
 * in. With a rate of 0 it sends as fast as it can. GSO: that many datagrams per call, which the
 * kernel keeps in one buffer for as long as it can. Prints a line:
 *
 *	FLOW sent late
 *
 * late: by how many microseconds it woke up too late at most (a CPU that was away, not the path).
 * `receive` prints, at SIGTERM and at SIGUSR1 (and then begins anew), a line for each flow:
 *
 *	FLOW received lost reordered duplicated slowest
 *
 * lost: below the highest number seen, and not seen. What is lost at the very end shows against
 * what the sender says. Reordered: after a higher number, for the first time. Slowest: the longest
 * time from send() to recv() in microseconds, by the clock that both have.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
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
#define CPUS_MAX  16

struct flow {
	uint32_t received, reordered, duplicated, next;
	uint64_t slowest_ns;
	uint8_t *seen; /* one bit per number */
};

struct message {
	uint32_t flow, seq;
	uint64_t sent_ns;
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

static void print_flows(void)
{
	unsigned int i;

	for (i = 0; i < FLOWS_MAX; i++) {
		struct flow *f = &flows[i];

		if (f->received)
			printf("%u %u %u %u %u %u\n", i, f->received,
			       f->next - (f->received - f->duplicated), f->reordered, f->duplicated,
			       (unsigned int)(f->slowest_ns / 1000));
		if (f->seen)
			memset(f->seen, 0, SEQS_MAX / 8);
		*f = (struct flow){.seen = f->seen};
	}
	printf("end\n");
	fflush(stdout);
}

static void take(const struct message *m)
{
	uint64_t took = now_ns() - m->sent_ns;
	struct flow *f;
	uint8_t bit;

	if (m->flow >= FLOWS_MAX || m->seq >= SEQS_MAX)
		return;
	f = &flows[m->flow];
	if (!f->seen && !(f->seen = calloc(1, SEQS_MAX / 8)))
		die("calloc");
	bit = (uint8_t)(1u << (m->seq % 8));
	f->received++;
	if (took > f->slowest_ns)
		f->slowest_ns = took;
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

/* One flow, sent by as many threads as it has CPUs, in turns. */
struct stream {
	int fd, size, gso;
	uint32_t flow, n_cpus;
	int cpus[CPUS_MAX];
	double pps;
	uint64_t start, end;	  /* ns */
	_Atomic uint32_t calls;	  /* so far: the next one is this one's number */
	_Atomic uint32_t late_us; /* the worst */
	_Atomic bool over;
};

struct turn {
	struct stream *stream;
	uint32_t index; /* of its CPU: it makes each n_cpus-th call */
};

static void parse_cpus(char *text, struct stream *s)
{
	char *word;

	for (word = strtok(text, ","); word && s->n_cpus < CPUS_MAX; word = strtok(NULL, ","))
		s->cpus[s->n_cpus++] = atoi(word);
}

static void connect_to(const char *dst, int port, struct stream *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int room = 4 << 20;

	s->fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (s->fd < 0 || inet_pton(AF_INET, dst, &a.sin_addr) != 1 ||
	    setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) ||
	    (s->gso > 1 && setsockopt(s->fd, SOL_UDP, UDP_SEGMENT, &s->size, sizeof(s->size))) ||
	    connect(s->fd, (struct sockaddr *)&a, sizeof(a)))
		die("send");
}

static void wait_until_due(struct stream *s, uint32_t call)
{
	uint64_t due = s->start + (uint64_t)(call * (double)s->gso / s->pps * 1e9), late_us;

	sleep_until(due);
	late_us = (now_ns() - due) / 1000;
	if (late_us > s->late_us)
		s->late_us = (uint32_t)late_us;
}

static void wait_for_turn(const struct stream *s)
{
	if (s->pps > 0)
		usleep(200); /* others want the CPU */
	else
		sched_yield();
}

static void send_call(const struct stream *s, uint32_t call, char *buf)
{
	struct message m = {.flow = s->flow};
	int i;

	do {
		m.sent_ns = now_ns();
		for (i = 0; i < s->gso; i++) {
			m.seq = call * (uint32_t)s->gso + (uint32_t)i;
			memcpy(buf + i * s->size, &m, sizeof(m));
		}
		if (send(s->fd, buf, (size_t)(s->size * s->gso), 0) >= 0)
			return;
		/* Refused before anything was sent: the same numbers once more. */
	} while (errno == ENOBUFS || errno == EAGAIN || errno == ECONNREFUSED);
	die("send");
}

static void *take_turns(void *arg)
{
	const struct turn *t = arg;
	struct stream *s = t->stream;
	char *buf = calloc(SIZE_MAX_, GSO_MAX);
	uint32_t call;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(s->cpus[t->index], &set);
	/* A CPU that is away: elsewhere, as the kernel does with who was there. */
	if (!buf || (sched_setaffinity(0, sizeof(set), &set) && errno != EINVAL))
		die("send");
	for (call = t->index;; call += s->n_cpus) {
		if (s->pps > 0)
			wait_until_due(s, call);
		while (s->calls != call && !s->over)
			wait_for_turn(s);
		if (s->over || now_ns() >= s->end || call * (uint32_t)s->gso >= SEQS_MAX - GSO_MAX)
			break;
		send_call(s, call, buf);
		s->calls = call + 1;
	}
	s->over = true;
	free(buf);
	return NULL;
}

static int send_stream(struct stream *s, double seconds)
{
	struct turn turns[CPUS_MAX];
	pthread_t threads[CPUS_MAX];
	uint32_t i;

	s->start = now_ns();
	s->end = s->start + (uint64_t)(seconds * 1e9);
	for (i = 0; i < s->n_cpus; i++) {
		turns[i] = (struct turn){s, i};
		if (pthread_create(&threads[i], NULL, take_turns, &turns[i]))
			die("thread");
	}
	for (i = 0; i < s->n_cpus; i++)
		pthread_join(threads[i], NULL);
	printf("%u %u %u\n", s->flow, s->calls * (uint32_t)s->gso, s->late_us);
	return 0;
}

int main(int argc, char **argv)
{
	struct stream s = {.size = 200, .gso = 1};

	if (argc == 3 && !strcmp(argv[1], "receive"))
		return receive(atoi(argv[2]));
	if (argc >= 8 && !strcmp(argv[1], "send")) {
		s.flow = (uint32_t)atoi(argv[4]);
		parse_cpus(argv[5], &s);
		s.pps = atof(argv[6]);
		if (argc > 8)
			s.size = atoi(argv[8]);
		if (argc > 9)
			s.gso = atoi(argv[9]);
		if (s.n_cpus && s.size >= (int)sizeof(struct message) && s.size <= SIZE_MAX_ &&
		    s.gso >= 1 && s.gso <= GSO_MAX) {
			connect_to(argv[2], atoi(argv[3]), &s);
			return send_stream(&s, atof(argv[7]));
		}
	}
	fprintf(stderr, "usage: order receive PORT\n"
			"       order send DST PORT FLOW CPU[,CPU...] PACKETS_PER_S SECONDS [SIZE "
			"[GSO]]\n");
	return 2;
}
