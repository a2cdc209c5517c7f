/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: forge: sends bad packets to a WireGuard socket, made of good ones that leave by the same
 * device and of nothing. Used by cases of the module.
 *
 *	forge DEVICE COUNT PACKETS_PER_S SEED
 *
 * Watches the WireGuard packets that leave by the Ethernet device, over IPv4, and sends with their
 * addresses and ports: cut ones, ones with more at their end, with wrong bits, once more (at once
 * and long after), and forged ones of every type. Ends after COUNT packets, and prints how many of
 * each it sent, "NAME COUNT" a line. The same seed makes the same choices.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES	    256
#define PACKET_MAX  1900
#define HEADERS	    (sizeof(struct ether_header) + sizeof(struct iphdr) + sizeof(struct udphdr))
#define PAYLOAD_MAX (PACKET_MAX - HEADERS)

enum kind { CUT, LONG, BITS, REPLAY, OLD, FORGED_DATA, FORGED_HANDSHAKE, NOISE, KINDS };

static const char *const kind_names[KINDS] = {
	"cut", "long", "bits", "replay", "old", "forged-data", "forged-handshake", "noise"};

struct packet {
	size_t len; /* of all of it */
	uint8_t b[PACKET_MAX];
};

static struct packet samples[SAMPLES]; /* a ring */
static unsigned int n_samples;
static uint64_t state;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* xorshift64* */
static uint32_t rnd(uint32_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 0x2545f4914f6cdd1dull) >> 33) % below;
}

static void random_bytes(uint8_t *b, size_t n)
{
	while (n--)
		*b++ = (uint8_t)rnd(256);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* WireGuard's data over UDP over IPv4, without options. */
static int is_sample(const uint8_t *b, size_t len)
{
	return len >= HEADERS + 32 && b[12] == 8 && b[13] == 0 && b[14] == 0x45 && b[23] == 17 &&
	       b[HEADERS] == 4;
}

/* Takes what has left the device meanwhile. */
static void watch(int fd)
{
	struct sockaddr_ll from;
	socklen_t from_len = sizeof(from);
	uint8_t b[4096];
	ssize_t n;

	while ((n = recvfrom(fd, b, sizeof(b), MSG_DONTWAIT, (struct sockaddr *)&from,
			     &from_len)) >= 0) {
		struct packet *p = &samples[n_samples % SAMPLES];

		from_len = sizeof(from);
		if (from.sll_pkttype != PACKET_OUTGOING || (size_t)n > PACKET_MAX ||
		    !is_sample(b, (size_t)n))
			continue;
		memcpy(p->b, b, (size_t)n);
		p->len = (size_t)n;
		n_samples++;
	}
}

static const struct packet *sample(enum kind kind)
{
	unsigned int have = n_samples < SAMPLES ? n_samples : SAMPLES;

	return &samples[kind == OLD ? rnd(have) : (n_samples - 1) % SAMPLES];
}

/* Payload of a type, the rest random; sizes are those of the protocol. */
static size_t forge(uint8_t *payload, uint8_t type)
{
	static const size_t sizes[] = {0, 148, 92, 64, 0};
	size_t n = type < 4 ? sizes[type] : 32 + rnd((uint32_t)PAYLOAD_MAX - 32);

	random_bytes(payload, n);
	memset(payload, 0, 4);
	payload[0] = type;
	return n;
}

/* Turns the copy of a sample into one of a kind; the new length of its payload. */
static size_t spoil(enum kind kind, uint8_t *payload, size_t n)
{
	uint8_t index[4];
	size_t more, i;

	switch (kind) {
	case CUT:
		return rnd((uint32_t)n);
	case LONG:
		more = 1 + rnd((uint32_t)(PAYLOAD_MAX - n));
		random_bytes(payload + n, more);
		return n + more;
	case BITS:
		for (i = 1 + rnd(3); i; i--) /* an odd number in each byte it hits, mostly */
			payload[rnd((uint32_t)n)] ^= (uint8_t)(1u << rnd(8));
		return n;
	case REPLAY:
	case OLD:
		return n;
	case FORGED_DATA:
		memcpy(index, payload + 4, sizeof(index));
		n = forge(payload, 4);
		memcpy(payload + 4, index, sizeof(index));
		return n;
	case FORGED_HANDSHAKE:
		return forge(payload, (uint8_t)(1 + rnd(3)));
	case NOISE:
	case KINDS:
		n = rnd((uint32_t)PAYLOAD_MAX);
		random_bytes(payload, n);
		return n;
	}
	return n;
}

static uint16_t checksum(const uint8_t *b, size_t n)
{
	uint32_t sum = 0;

	for (; n; n -= 2, b += 2)
		sum += (uint32_t)(b[0] << 8 | b[1]);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* Lengths and checksums that fit; UDP's is left out, as IPv4 allows. */
static void wrap(struct packet *p, size_t payload)
{
	uint8_t *ip = p->b + sizeof(struct ether_header), *udp = ip + sizeof(struct iphdr);
	uint16_t n = htons((uint16_t)(payload + sizeof(struct iphdr) + sizeof(struct udphdr)));

	memcpy(ip + 2, &n, 2);
	memset(ip + 10, 0, 2);
	n = htons(checksum(ip, sizeof(struct iphdr)));
	memcpy(ip + 10, &n, 2);
	n = htons((uint16_t)(payload + sizeof(struct udphdr)));
	memcpy(udp + 4, &n, 2);
	memset(udp + 6, 0, 2);
	p->len = HEADERS + payload;
}

static int open_device(const char *device)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

	a.sll_ifindex = (int)if_nametoindex(device);
	if (fd < 0 || !a.sll_ifindex || bind(fd, (struct sockaddr *)&a, sizeof(a)))
		die(device);
	return fd;
}

static void send_packet(int fd, const struct packet *p)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};

	while (send(fd, p->b, p->len, 0) < 0) {
		if (errno != ENOBUFS && errno != EAGAIN)
			die("send");
		poll(&pfd, 1, 1);
	}
}

int main(int argc, char **argv)
{
	unsigned int sent[KINDS] = {0}, i, count;
	uint64_t start, due;
	struct packet p;
	double pps;
	int fd;

	if (argc != 5) {
		fprintf(stderr, "usage: forge DEVICE COUNT PACKETS_PER_S SEED\n");
		return 2;
	}
	fd = open_device(argv[1]);
	count = (unsigned int)atoi(argv[2]);
	pps = atof(argv[3]);
	state = (uint64_t)atoll(argv[4]) | 1;
	while (!n_samples) {
		watch(fd);
		usleep(1000);
	}
	start = now_ns();
	for (i = 0; i < count; i++) {
		enum kind kind = (enum kind)rnd(KINDS);

		watch(fd);
		p = *sample(kind);
		wrap(&p, spoil(kind, p.b + HEADERS, p.len - HEADERS));
		send_packet(fd, &p);
		sent[kind]++;
		due = start + (uint64_t)(i / pps * 1e9);
		while (now_ns() < due)
			usleep(200);
	}
	for (i = 0; i < KINDS; i++)
		printf("%s %u\n", kind_names[i], sent[i]);
	return 0;
}
