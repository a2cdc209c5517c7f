/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: probe - ICMP echo with a payload of ours
 *
 * Owns the layout of the payload and the two raw sockets. It never decides when to probe or what
 * an answer means (health.c, main.c), and never answers: the kernel does, so that a tunnel stays
 * healthy in the eyes of the peer while this daemon is away.
 *
 * Invariant: what a raw socket delivers has passed a classic BPF filter for type, magic and (for
 * replies) identifier, so that somebody else's ping flood does not wake the daemon; the same is
 * checked again here, because packets may have been queued before the filter was attached.
 *
 * A raw IPv4 socket reads the IP header and writes without it; a raw ICMPv6 socket does neither,
 * and its checksum is the kernel's business both ways.
 *
 * Read next: health.h.
 */
#include "probe.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC	   "wgscale1"
#define MAGIC_LEN  8
#define MAGIC_HIGH 0x77677363 /* "wgsc" */
#define MAGIC_LOW  0x616c6531 /* "ale1" */
#define VERSION	   1

#define FLAG_HEARS  0x01
#define FLAG_ACTIVE 0x02

#define ECHO_LEN 8    /* type, code, checksum, identifier, sequence */
#define READ_MAX 2048 /* more than the payload of any version */
/* Two messages per tunnel and interval; thousands of tunnels may answer at once. */
#define RCVBUF_BYTES (4 * 1024 * 1024)
/* Not ours in spite of the filter: so many in a row are skipped in one call. */
#define SKIP_MAX 64
/* A reception time further back than this is a stepped clock, not a late reader. */
#define LATE_MAX_US (10 * 1000 * 1000)

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

void probe_encode(const struct probe_msg *m, uint8_t ret[static PROBE_LEN])
{
	memset(ret, 0, PROBE_LEN);
	memcpy(ret, MAGIC, MAGIC_LEN);
	ret[8] = VERSION;
	ret[9] = (uint8_t)((m->hears ? FLAG_HEARS : 0) | (m->active ? FLAG_ACTIVE : 0));
	ret[10] = m->to_lane;
	ret[11] = m->from_lane;
	ret[12] = m->usable;
	put64(ret + 16, m->my_card);
	put64(ret + 24, m->your_card);
}

int probe_parse(const uint8_t *p, size_t len, struct probe_msg *ret)
{
	if (len < PROBE_LEN || memcmp(p, MAGIC, MAGIC_LEN) != 0 || p[8] < VERSION)
		return -EINVAL;
	*ret = (struct probe_msg){
		.hears = p[9] & FLAG_HEARS,
		.active = p[9] & FLAG_ACTIVE,
		.to_lane = p[10],
		.from_lane = p[11],
		.usable = p[12],
		.my_card = get64(p + 16),
		.your_card = get64(p + 24),
	};
	return 0;
}

int probe_parse_packet(uint8_t family, const uint8_t *p, size_t len, struct probe_event *ret)
{
	uint8_t request = family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	uint8_t reply = family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;

	if (family == AF_INET) {
		size_t header = len ? (size_t)(p[0] & 0x0f) * 4 : 0;

		if (header < 20 || len < header)
			return -EINVAL;
		p += header;
		len -= header;
	}
	if (len < ECHO_LEN + MAGIC_LEN || (p[0] != request && p[0] != reply) || p[1] != 0)
		return -EINVAL;
	if (memcmp(p + ECHO_LEN, MAGIC, MAGIC_LEN) != 0)
		return -EINVAL;
	ret->reply = p[0] == reply;
	ret->ident = get16(p + 4);
	ret->seq = get16(p + 6);
	ret->msg = (struct probe_msg){0};
	ret->has_msg = probe_parse(p + ECHO_LEN, len - ECHO_LEN, &ret->msg) == 0;
	return 0;
}

/* Without an IP header X is 0, which makes one program fit both families. */
static int attach_filter(int fd, uint8_t family, uint16_t ident)
{
	uint32_t request = family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	uint32_t reply = family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
	struct sock_filter find4 = BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0);
	struct sock_filter find6 = BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 0);
	struct sock_filter code[] = {
		family == AF_INET ? find4 : find6,
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, request, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, reply, 0, 8),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint16_t) ~(PROBE_IDENTS - 1)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ident, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, ECHO_LEN),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAGIC_HIGH, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, ECHO_LEN + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAGIC_LOW, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		return -errno;
	return 0;
}

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_options(int fd, uint8_t family, uint16_t ident)
{
	struct icmp6_filter types;
	int r;

	r = attach_filter(fd, family, ident);
	if (!r)
		r = set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	if (!r && family == AF_INET)
		r = set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (!r && family == AF_INET6)
		r = set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (!r && family == AF_INET6) {
		ICMP6_FILTER_SETBLOCKALL(&types);
		ICMP6_FILTER_SETPASS(ICMP6_ECHO_REQUEST, &types);
		ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &types);
		if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &types, sizeof(types)) < 0)
			r = -errno;
	}
	/* A smaller buffer than wanted is no failure. */
	if (!r && set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF_BYTES) < 0)
		(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, RCVBUF_BYTES);
	return r;
}

/* *ret_fd is -1 with 0 where the kernel lacks the family. */
static int open_one(uint8_t family, uint16_t ident, int *ret_fd)
{
	int protocol = family == AF_INET ? IPPROTO_ICMP : (int)IPPROTO_ICMPV6;
	int fd, r;

	fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (fd < 0 && (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT)) {
		*ret_fd = -1;
		return 0;
	}
	if (fd < 0)
		return -errno;
	r = set_options(fd, family, ident);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int probe_open(struct probe_sock *s)
{
	struct probe_sock new = {.fd4 = -1, .fd6 = -1};
	int r;

	if (getrandom(&new.ident, sizeof(new.ident), 0) != sizeof(new.ident))
		return -EIO;
	new.ident = (uint16_t)(new.ident / PROBE_IDENTS *PROBE_IDENTS);
	r = open_one(AF_INET, new.ident, &new.fd4);
	if (!r)
		r = open_one(AF_INET6, new.ident, &new.fd6);
	if (!r && new.fd4 < 0 && new.fd6 < 0)
		r = -EAFNOSUPPORT;
	if (r < 0) {
		probe_close(&new);
		return r;
	}
	*s = new;
	return 0;
}

void probe_close(struct probe_sock *s)
{
	if (s->fd4 > 0)
		close(s->fd4);
	if (s->fd6 > 0)
		close(s->fd6);
	s->fd4 = s->fd6 = -1;
}

int probe_set_mark(struct probe_sock *s, uint32_t mark)
{
	int r = 0;

	if (s->fd4 >= 0)
		r = set_int(s->fd4, SOL_SOCKET, SO_MARK, (int)mark);
	if (!r && s->fd6 >= 0)
		r = set_int(s->fd6, SOL_SOCKET, SO_MARK, (int)mark);
	return r;
}

/* RFC 1071, over an even number of bytes. */
static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += get16(p + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

union control {
	struct cmsghdr align;
	char buf[256];
};

static void add_control(struct msghdr *msg, int level, int type, const void *p, size_t len)
{
	struct cmsghdr *c = msg->msg_control;

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), p, len);
	msg->msg_controllen = CMSG_SPACE(len);
}

static int send_one(int fd, struct msghdr *msg, uint8_t *p, size_t len)
{
	struct iovec iov = {.iov_base = p, .iov_len = len};
	ssize_t n;

	if (fd < 0)
		return -EAFNOSUPPORT;
	msg->msg_iov = &iov;
	msg->msg_iovlen = 1;
	do {
		n = sendmsg(fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int send4(struct probe_sock *s, uint32_t ifindex, const struct ipaddr *from,
		 const struct ipaddr *to, uint8_t *p, size_t len)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct in_pktinfo info = {.ipi_ifindex = (int)ifindex};
	union control control = {0};
	struct msghdr msg = {
		.msg_name = &sin,
		.msg_namelen = sizeof(sin),
		.msg_control = &control,
	};

	memcpy(&sin.sin_addr, to->b, sizeof(sin.sin_addr));
	if (from->family == AF_INET)
		memcpy(&info.ipi_spec_dst, from->b, sizeof(info.ipi_spec_dst));
	add_control(&msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	p[0] = ICMP_ECHO;
	put16(p + 2, checksum(p, len));
	return send_one(s->fd4, &msg, p, len);
}

static int send6(struct probe_sock *s, uint32_t ifindex, const struct ipaddr *from,
		 const struct ipaddr *to, uint8_t *p, size_t len)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_scope_id = ifindex};
	struct in6_pktinfo info = {.ipi6_ifindex = ifindex};
	union control control = {0};
	struct msghdr msg = {
		.msg_name = &sin6,
		.msg_namelen = sizeof(sin6),
		.msg_control = &control,
	};

	memcpy(&sin6.sin6_addr, to->b, sizeof(sin6.sin6_addr));
	if (from->family == AF_INET6)
		memcpy(&info.ipi6_addr, from->b, sizeof(info.ipi6_addr));
	add_control(&msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	p[0] = ICMP6_ECHO_REQUEST;
	return send_one(s->fd6, &msg, p, len);
}

int probe_send(struct probe_sock *s, uint32_t ifindex, const struct ipaddr *from,
	       const struct ipaddr *to, uint16_t seq, const struct probe_msg *m)
{
	uint8_t p[ECHO_LEN + PROBE_LEN] = {0};

	put16(p + 4, s->ident);
	put16(p + 6, seq);
	probe_encode(m, p + ECHO_LEN);
	if (to->family == AF_INET)
		return send4(s, ifindex, from, to, p, sizeof(p));
	if (to->family == AF_INET6)
		return send6(s, ifindex, from, to, p, sizeof(p));
	return -EAFNOSUPPORT;
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The kernel stamps with the wall clock; only the age of the stamp is used. */
static uint64_t monotonic_us(const struct timespec *stamp)
{
	uint64_t stamp_us = (uint64_t)stamp->tv_sec * 1000000 + (uint64_t)stamp->tv_nsec / 1000;
	uint64_t age_us = clock_us(CLOCK_REALTIME) - stamp_us;
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);

	return age_us <= LATE_MAX_US && age_us < now_us ? now_us - age_us : now_us;
}

static void read_control(struct msghdr *msg, struct probe_event *ret)
{
	struct timespec stamp;
	struct in6_pktinfo info6;
	struct in_pktinfo info4;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
			ret->when_us = monotonic_us(&stamp);
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&info4, CMSG_DATA(c), sizeof(info4));
			ret->ifindex = (uint32_t)info4.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info6, CMSG_DATA(c), sizeof(info6));
			ret->ifindex = info6.ipi6_ifindex;
		}
	}
}

static int receive_one(struct probe_sock *s, int fd, struct probe_event *ret)
{
	union {
		struct sockaddr_in sin;
		struct sockaddr_in6 sin6;
	} from = {0};
	uint8_t family = fd == s->fd4 ? AF_INET : AF_INET6;
	uint8_t buf[READ_MAX];
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	union control control;
	struct msghdr msg = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	do {
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	memset(ret, 0, sizeof(*ret));
	if (probe_parse_packet(family, buf, (size_t)n, ret) < 0)
		return -EINVAL;
	if (ret->reply && ret->ident / PROBE_IDENTS * PROBE_IDENTS != s->ident)
		return -EINVAL;
	ret->from.family = family;
	if (family == AF_INET)
		memcpy(ret->from.b, &from.sin.sin_addr, 4);
	else
		memcpy(ret->from.b, &from.sin6.sin6_addr, 16);
	ret->when_us = clock_us(CLOCK_MONOTONIC);
	read_control(&msg, ret);
	return 0;
}

int probe_receive(struct probe_sock *s, int fd, struct probe_event *ret)
{
	struct probe_event event;

	for (int i = 0; i < SKIP_MAX; i++) {
		int r = receive_one(s, fd, &event);

		if (r == -EINVAL)
			continue;
		if (!r)
			*ret = event;
		return r;
	}
	return -EAGAIN;
}
