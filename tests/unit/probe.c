/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/probe.o
/*
 * DOC: probe - the payload byte for byte, and the sockets over lo in a namespace of our own
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "probe.h"

static const struct probe_msg sample = {
	.hears = true,
	.to_lane = 3,
	.from_lane = 12,
	.usable = 7,
	.my_card = UINT64_C(0x0102030405060708),
	.your_card = UINT64_C(0xf1f2f3f4f5f6f7f8),
};

static const uint8_t sample_bytes[PROBE_LEN] = {
	'w', 'g', 's', 'c', 'a', 'l', 'e', '1', 1,    1,    3,	  12,	7,    0,    0,	  0,
	1,   2,	  3,   4,   5,	 6,   7,   8,	0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
};

static void assert_msg(const struct probe_msg *a, const struct probe_msg *b)
{
	assert_int_equal(a->hears, b->hears);
	assert_int_equal(a->active, b->active);
	assert_int_equal(a->to_lane, b->to_lane);
	assert_int_equal(a->from_lane, b->from_lane);
	assert_int_equal(a->usable, b->usable);
	assert_int_equal(a->my_card, b->my_card);
	assert_int_equal(a->your_card, b->your_card);
}

static void test_encode(void **state)
{
	struct probe_msg m = sample;
	uint8_t p[PROBE_LEN];

	probe_encode(&m, p);
	assert_memory_equal(p, sample_bytes, PROBE_LEN);
	m.hears = false;
	m.active = true;
	probe_encode(&m, p);
	assert_int_equal(p[9], 2);
}

static void test_parse(void **state)
{
	uint8_t p[PROBE_LEN + 8] = {0};
	struct probe_msg m;

	memcpy(p, sample_bytes, PROBE_LEN);
	assert_int_equal(probe_parse(p, PROBE_LEN, &m), 0);
	assert_msg(&m, &sample);
	for (size_t len = 0; len < PROBE_LEN; len++)
		assert_int_equal(probe_parse(p, len, &m), -EINVAL);
	p[8] = 2; /* a later version, longer, with flags and bytes we do not know */
	p[9] |= 0xfc;
	p[13] = 0xff;
	assert_int_equal(probe_parse(p, sizeof(p), &m), 0);
	assert_msg(&m, &sample);
	p[8] = 0;
	assert_int_equal(probe_parse(p, PROBE_LEN, &m), -EINVAL);
	for (size_t i = 0; i < 8; i++) {
		memcpy(p, sample_bytes, PROBE_LEN);
		p[i] ^= 0x20;
		assert_int_equal(probe_parse(p, PROBE_LEN, &m), -EINVAL);
	}
}

/* Copies to the heap, so that a sanitizer sees a read past the end. */
static int parse_cut(uint8_t family, const uint8_t *p, size_t len, struct probe_event *e)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, p, len);
	r = probe_parse_packet(family, copy, len, e);
	free(copy);
	assert_int_equal(probe_parse_packet(family, p, len, e), r);
	return r;
}

static void test_packet6(void **state)
{
	uint8_t p[8 + PROBE_LEN] = {128, 0, 0xab, 0xcd, 0x12, 0x34, 0x56, 0x78};
	struct probe_event e;

	memcpy(p + 8, sample_bytes, PROBE_LEN);
	for (size_t len = 0; len < 16; len++)
		assert_int_equal(parse_cut(AF_INET6, p, len, &e), -EINVAL);
	for (size_t len = 16; len <= sizeof(p); len++) {
		assert_int_equal(parse_cut(AF_INET6, p, len, &e), 0);
		assert_int_equal(e.has_msg, len == sizeof(p));
		assert_false(e.reply);
		assert_int_equal(e.ident, 0x1234);
		assert_int_equal(e.seq, 0x5678);
	}
	assert_msg(&e.msg, &sample);
	p[0] = 129;
	assert_int_equal(parse_cut(AF_INET6, p, sizeof(p), &e), 0);
	assert_true(e.reply);
	p[1] = 1;
	assert_int_equal(parse_cut(AF_INET6, p, sizeof(p), &e), -EINVAL);
	p[1] = 0;
	p[0] = 8;
	assert_int_equal(parse_cut(AF_INET6, p, sizeof(p), &e), -EINVAL);
}

static void test_packet4(void **state)
{
	uint8_t p[60 + 8 + PROBE_LEN];
	struct probe_event e;

	for (size_t words = 0; words < 16; words++) {
		size_t header = words * 4, total = header + 8 + PROBE_LEN;

		memset(p, 0, sizeof(p));
		p[0] = (uint8_t)(0x40 | words);
		if (header >= 20) {
			p[header] = 0;
			p[header + 5] = 9;
			memcpy(p + header + 8, sample_bytes, PROBE_LEN);
		}
		for (size_t len = 0; len < header + 16; len++)
			assert_int_equal(parse_cut(AF_INET, p, len, &e), -EINVAL);
		if (header < 20)
			continue;
		assert_int_equal(parse_cut(AF_INET, p, total, &e), 0);
		assert_true(e.reply);
		assert_true(e.has_msg);
		assert_int_equal(e.ident, 9);
		p[header] = 8;
		assert_int_equal(parse_cut(AF_INET, p, total, &e), 0);
		assert_false(e.reply);
	}
}

/* ---- sockets ---- */

static bool have_namespace;

static int setup(void **state)
{
	struct ifreq req = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &req) < 0)
		return -1;
	close(fd);
	have_namespace = true;
	return 0;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int receive_soon(struct probe_sock *s, int fd, struct probe_event *e)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	poll(&p, 1, 2000);
	return probe_receive(s, fd, e);
}

static struct ipaddr address(uint8_t family, const char *text)
{
	struct ipaddr a = {.family = family};

	assert_int_equal(inet_pton(family, text, a.b), 1);
	return a;
}

/* Request and reply come back in order, with everything that was sent. */
static void exchange_as(uint16_t ident, struct probe_sock *s, int fd, const struct ipaddr *from,
			const struct ipaddr *to, uint16_t seq)
{
	struct probe_sock as = *s;
	uint64_t before = now_us();
	struct probe_event e;

	as.ident = ident;
	assert_int_equal(probe_send(&as, 1, from, to, seq, &sample), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(receive_soon(s, fd, &e), 0);
		assert_int_equal(e.reply, i == 1);
		assert_int_equal(e.ident, ident);
		assert_int_equal(e.seq, seq);
		assert_int_equal(e.ifindex, 1);
		assert_true(e.has_msg);
		assert_msg(&e.msg, &sample);
		assert_int_equal(e.from.family, to->family);
		assert_memory_equal(e.from.b, e.reply ? to->b : from->b, 16);
		assert_in_range(e.when_us, before - 1, now_us());
	}
	assert_int_equal(probe_receive(s, fd, &e), -EAGAIN);
}

static void exchange(struct probe_sock *s, int fd, const struct ipaddr *from,
		     const struct ipaddr *to, uint16_t seq)
{
	exchange_as(s->ident, s, fd, from, to, seq);
}

static void test_sockets(void **state)
{
	struct ipaddr v4a, v4b, v6;
	struct probe_sock s;

	if (!have_namespace)
		skip();
	v4a = address(AF_INET, "127.0.0.7");
	v4b = address(AF_INET, "127.0.0.9");
	assert_int_equal(probe_open(&s), 0);
	assert_true(s.fd4 >= 0);
	exchange(&s, s.fd4, &v4a, &v4b, 1);
	exchange(&s, s.fd4, &v4a, &v4b, 65535);
	if (s.fd6 >= 0) {
		v6 = address(AF_INET6, "::1");
		exchange(&s, s.fd6, &v6, &v6, 2);
		assert_int_equal(system("ip addr add fe80::1234/64 dev lo nodad"), 0);
		v6 = address(AF_INET6, "fe80::1234");
		exchange(&s, s.fd6, &v6, &v6, 3);
		exchange_as((uint16_t)(s.ident + PROBE_IDENTS - 1), &s, s.fd6, &v6, &v6, 3);
	}
	assert_int_equal(s.ident % PROBE_IDENTS, 0);
	for (int i = 1; i < PROBE_IDENTS; i += 127)
		exchange_as((uint16_t)(s.ident + i), &s, s.fd4, &v4a, &v4b, 5);
	assert_int_equal(probe_set_mark(&s, 0x1fe00000), 0);
	exchange(&s, s.fd4, &v4a, &v4b, 4);
	probe_close(&s);
	assert_int_equal(s.fd4, -1);
	assert_int_equal(probe_send(&s, 1, &v4a, &v4b, 1, &sample), -EAFNOSUPPORT);
}

/* A ping of somebody else, and its reply, over lo. */
static void foreign_ping(const struct ipaddr *to)
{
	bool v4 = to->family == AF_INET;
	/* Half our magic, and its checksum; for IPv6 the kernel makes one. */
	uint8_t ping[8 + PROBE_LEN] = {v4 ? 8 : 128, 0, 0x0d, 0x35, 0, 0, 0, 0, 'w', 'g', 's', 'c'};
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6};
	struct sockaddr *sa = v4 ? (void *)&sin : (void *)&sin6;
	socklen_t len = v4 ? sizeof(sin) : sizeof(sin6);
	int fd;

	memcpy(&sin.sin_addr, to->b, 4);
	memcpy(&sin6.sin6_addr, to->b, 16);
	fd = socket(to->family, SOCK_RAW | SOCK_CLOEXEC, v4 ? IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, ping, sizeof(ping), 0, sa, len), sizeof(ping));
	for (int n = 0; n < 2; n++)
		assert_true(recv(fd, ping, sizeof(ping), 0) > 0);
	close(fd);
}

static void assert_nothing(int fd)
{
	uint8_t buf[128];

	assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/* Of another daemon's exchange the request arrives, its reply does not. */
static void assert_request_only(struct probe_sock *s, int fd, struct probe_sock *other)
{
	struct probe_event e;

	assert_int_equal(receive_soon(s, fd, &e), 0);
	assert_false(e.reply);
	assert_int_equal(e.ident, other->ident);
}

static void filtered(uint8_t family, const char *text)
{
	struct ipaddr a = address(family, text);
	struct probe_sock s, other;
	struct probe_event e;
	int fd, other_fd, off = 0;

	assert_int_equal(probe_open(&s), 0);
	do {
		assert_int_equal(probe_open(&other), 0);
		if (other.ident == s.ident)
			probe_close(&other);
	} while (other.ident == s.ident);
	fd = family == AF_INET ? s.fd4 : s.fd6;
	other_fd = family == AF_INET ? other.fd4 : other.fd6;

	foreign_ping(&a);
	assert_nothing(fd);
	exchange(&other, other_fd, &a, &a, 77);
	assert_request_only(&s, fd, &other);
	assert_nothing(fd);

	/* The same for what slipped in before there was a filter. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof(off)), 0);
	foreign_ping(&a);
	exchange(&other, other_fd, &a, &a, 78);
	assert_request_only(&s, fd, &other);
	assert_int_equal(probe_receive(&s, fd, &e), -EAGAIN);
	probe_close(&other);
	probe_close(&s);
}

static void test_filter(void **state)
{
	if (!have_namespace)
		skip();
	filtered(AF_INET, "127.0.0.1");
	if (access("/proc/net/if_inet6", F_OK) == 0)
		filtered(AF_INET6, "::1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encode),	cmocka_unit_test(test_parse),
		cmocka_unit_test(test_packet6), cmocka_unit_test(test_packet4),
		cmocka_unit_test(test_sockets), cmocka_unit_test(test_filter),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
