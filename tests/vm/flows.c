/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: flows: many small flows that notice every loss. Used by ./flows.sh inside the guest.
 *
 *	flows serve PORT
 *	flows run DST PORT INTERVAL_MS SPORT...
 *
 * `serve` echoes UDP and TCP. `run` has, from each source port, one UDP flow that sends a numbered
 * datagram each interval, and one TCP connection that sends a numbered word each fifth interval.
 * SIGTERM: sends no more, waits for what is under way, prints one line per flow, and exits:
 *
 *	SPORT udp_sent udp_lost udp_gap_ms tcp_sent tcp_back tcp_retrans tcp_error first last
 *
 * udp_gap_ms is the longest time without an echo while it sent, the time before the end included.
 * Retransmissions are those of the sender; tcp_error is an errno, 0 while the connection stands.
 * first and last are the numbers of the datagrams that were lost, "-" if none was lost.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX 64
#define SEQS_MAX  (1 << 16)
#define DRAIN_MS  10000

struct flow {
	int udp, tcp, port, error;
	uint32_t sent, back, gap_ms;
	uint64_t heard_ms;
	unsigned char seen[SEQS_MAX / 8];
	uint32_t tcp_sent, tcp_back; /* bytes */
};

static struct flow flows[FLOWS_MAX];
static volatile sig_atomic_t stopping;

static void on_stop(int number)
{
	stopping = 1;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static int bound(int type, int family, int port)
{
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	/* A stall must not look like a lost packet. The defaults hold a few hundred, and what was
	 * sent counts until it has arrived: namespaces and tunnels keep the sender's account. */
	int fd = socket(family, type | SOCK_NONBLOCK, 0), one = 1, room = 16 << 20;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_DGRAM) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	}
	if (family == AF_INET6 ? bind(fd, (void *)&a6, sizeof(a6))
			       : bind(fd, (void *)&a4, sizeof(a4)))
		die("bind");
	return fd;
}

/* ---- serve ---- */

static void echo_udp(int fd)
{
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	char buf[64];
	ssize_t n;

	while ((n = recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &len)) >= 0) {
		if (sendto(fd, buf, (size_t)n, 0, (void *)&from, len) < 0)
			perror("an echo is lost here");
		len = sizeof(from);
	}
}

/* Bounded by the window of what `run` sends: the buffers hold it. */
static int echo_tcp(int fd)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n > 0)
		return write(fd, buf, (size_t)n) == n ? 0 : -1;
	return n < 0 && errno == EAGAIN ? 0 : -1;
}

static void serve(int port)
{
	struct pollfd p[2 + 4 * FLOWS_MAX];
	nfds_t n = 2;

	p[0] = (struct pollfd){.fd = bound(SOCK_DGRAM, AF_INET6, port), .events = POLLIN};
	p[1] = (struct pollfd){.fd = bound(SOCK_STREAM, AF_INET6, port), .events = POLLIN};
	if (listen(p[1].fd, FLOWS_MAX))
		die("listen");
	for (;;) {
		if (poll(p, n, -1) < 0)
			die("poll");
		if (p[0].revents)
			echo_udp(p[0].fd);
		for (nfds_t i = n; i-- > 2;)
			if (p[i].revents && echo_tcp(p[i].fd)) {
				close(p[i].fd);
				p[i] = p[--n];
			}
		if (p[1].revents && n < sizeof(p) / sizeof(p[0])) {
			p[n] = (struct pollfd){.fd = accept4(p[1].fd, NULL, NULL, SOCK_NONBLOCK),
					       .events = POLLIN};
			n += p[n].fd >= 0;
		}
	}
}

/* ---- run ---- */

static void open_flow(struct flow *f, const char *dst, int port, int sport)
{
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int v6 = inet_pton(AF_INET6, dst, &a6.sin6_addr) == 1;
	struct sockaddr *to = v6 ? (void *)&a6 : (void *)&a4;
	socklen_t len = v6 ? sizeof(a6) : sizeof(a4);
	struct pollfd p;
	int one = 1;

	if (!v6 && inet_pton(AF_INET, dst, &a4.sin_addr) != 1) {
		fprintf(stderr, "%s is no address\n", dst);
		exit(2);
	}
	f->port = sport;
	f->udp = bound(SOCK_DGRAM, to->sa_family, sport);
	f->tcp = bound(SOCK_STREAM, to->sa_family, sport);
	setsockopt(f->tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(f->udp, to, len))
		die("connect");
	if (connect(f->tcp, to, len) && errno != EINPROGRESS)
		die("connect");
	p = (struct pollfd){.fd = f->tcp, .events = POLLOUT};
	poll(&p, 1, 10000);
	len = sizeof(f->error);
	getsockopt(f->tcp, SOL_SOCKET, SO_ERROR, &f->error, &len);
	if (f->error || !(p.revents & POLLOUT)) {
		fprintf(stderr, "port %d does not connect: %s\n", sport, strerror(f->error));
		exit(1);
	}
}

static void send_udp(struct flow *f)
{
	/* An error, ICMP's or of the route, is a loss; the echo tells. */
	if (send(f->udp, &f->sent, sizeof(f->sent), 0) < 0)
		send(f->udp, &f->sent, sizeof(f->sent), 0);
	f->sent++;
}

static void send_tcp(struct flow *f)
{
	if (f->error)
		return;
	if (write(f->tcp, &f->tcp_sent, sizeof(f->tcp_sent)) == sizeof(f->tcp_sent))
		f->tcp_sent += sizeof(f->tcp_sent);
	else if (errno != EAGAIN)
		f->error = errno;
}

static void heard(struct flow *f)
{
	uint64_t now = now_ms();

	if (now - f->heard_ms > f->gap_ms)
		f->gap_ms = (uint32_t)(now - f->heard_ms);
	f->heard_ms = now;
}

static int was_seen(const struct flow *f, uint32_t seq)
{
	return f->seen[seq / 8] >> seq % 8 & 1;
}

static void receive(struct flow *f)
{
	uint32_t seq;
	char buf[4096];
	ssize_t n;

	for (int i = 0; i < 64; i++) {
		n = recv(f->udp, &seq, sizeof(seq), 0);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n != sizeof(seq) || seq >= f->sent)
			continue;
		heard(f);
		f->back += !was_seen(f, seq);
		f->seen[seq / 8] |= (unsigned char)(1 << seq % 8);
	}
	if (f->error)
		return;
	n = read(f->tcp, buf, sizeof(buf));
	if (n > 0)
		f->tcp_back += (uint32_t)n;
	else if (n == 0 || errno != EAGAIN)
		f->error = n ? errno : EPIPE;
}

static void wait_for(struct flow *f, int n, uint64_t until_ms)
{
	struct pollfd p[2 * FLOWS_MAX];
	uint64_t now = now_ms();

	for (int i = 0; i < n; i++) {
		p[2 * i] = (struct pollfd){.fd = f[i].udp, .events = POLLIN};
		p[2 * i + 1] = (struct pollfd){.fd = f[i].error ? -1 : f[i].tcp, .events = POLLIN};
	}
	if (poll(p, 2 * (nfds_t)n, until_ms > now ? (int)(until_ms - now) : 0) > 0)
		for (int i = 0; i < n; i++)
			if (p[2 * i].revents || p[2 * i + 1].revents)
				receive(&f[i]);
}

static void print(struct flow *f)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);
	uint32_t first = 0, last = f->sent;

	getsockopt(f->tcp, IPPROTO_TCP, TCP_INFO, &info, &len);
	printf("%d %u %u %u %u %u %u %d", f->port, f->sent, f->sent - f->back, f->gap_ms,
	       f->tcp_sent, f->tcp_back, info.tcpi_total_retrans, f->error);
	while (first < f->sent && was_seen(f, first))
		first++;
	while (last && was_seen(f, last - 1))
		last--;
	if (last)
		printf(" %u %u\n", first, last - 1);
	else
		printf(" - -\n");
}

static int outstanding(const struct flow *f, int n)
{
	for (int i = 0; i < n; i++)
		if (f[i].back < f[i].sent || (!f[i].error && f[i].tcp_back < f[i].tcp_sent))
			return 1;
	return 0;
}

static int run(int argc, char **argv)
{
	int port = atoi(argv[1]), interval = atoi(argv[2]), n = argc - 3, tick = 0;
	uint64_t next, end;

	if (n < 1 || n > FLOWS_MAX || interval < 1)
		return 2;
	for (int i = 0; i < n; i++)
		open_flow(&flows[i], argv[0], port, atoi(argv[3 + i]));
	puts("running");
	fflush(stdout);
	next = now_ms();
	for (int i = 0; i < n; i++)
		flows[i].heard_ms = next;
	while (!stopping) {
		for (int i = 0; i < n && flows[0].sent < SEQS_MAX; i++) {
			send_udp(&flows[i]);
			if (tick % 5 == 0)
				send_tcp(&flows[i]);
		}
		tick++;
		/* What a stall held up is not caught up with: a burst would overflow queues. */
		next += (uint64_t)interval;
		if (next < now_ms())
			next = now_ms() + 1;
		while (!stopping && now_ms() < next)
			wait_for(flows, n, next);
	}
	for (int i = 0; i < n; i++)
		if (flows[i].back < flows[i].sent)
			heard(&flows[i]);
	end = now_ms() + DRAIN_MS;
	while (now_ms() < end && outstanding(flows, n))
		wait_for(flows, n, end);
	for (int i = 0; i < n; i++)
		print(&flows[i]);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction stop = {.sa_handler = on_stop};

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(atoi(argv[2]));
	if (argc > 5 && strcmp(argv[1], "run") == 0) {
		sigaction(SIGTERM, &stop, NULL);
		return run(argc - 2, argv + 2);
	}
	fprintf(stderr, "usage: flows serve PORT | flows run DST PORT INTERVAL_MS SPORT...\n");
	return 2;
}
