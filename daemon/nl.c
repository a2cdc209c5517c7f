/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: A netlink socket as the adapters want it: a request and its answer, a dump, many requests
 * and their answers at once, each error with the kernel's own words. It knows nothing of what is
 * in a message (the adapters do) and never retries a request that changes something. Invariant:
 * when a function returns, nothing of its answer is left in the socket that a later one could
 * take for its own (sequence numbers tell them apart), and the receive buffer is wiped. Read
 * rtnl.c for the plainest user.
 */
#include "nl.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "arena.h"

#define RX_SIZE	     (64 * 1024)
#define RX_TIMEOUT_S 10
#define DUMP_TRIES   10
/* A limit, not memory taken: all answers to one message wait in the receive buffer together. */
#define RX_QUEUE (4 << 20)

int nl_open(struct nl *nl, int bus)
{
	static const int options[] = {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK};
	struct timeval timeout = {.tv_sec = RX_TIMEOUT_S};
	int err, queue = RX_QUEUE;

	memset(nl, 0, sizeof(*nl));
	nl->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl->sock)
		return -errno;
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0)
		goto fail;
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		int on = 1;

		if (mnl_socket_setsockopt(nl->sock, options[i], &on, sizeof(on)) < 0)
			goto fail;
	}
	if (setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVTIMEO, &timeout,
		       sizeof(timeout)) < 0)
		goto fail;
	/* Refused without CAP_NET_ADMIN, which only readers lack. */
	setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVBUFFORCE, &queue, sizeof(queue));
	nl->portid = mnl_socket_get_portid(nl->sock);
	nl->rx = xcalloc(1, RX_SIZE);
	return 0;
fail:
	err = -errno;
	nl_close(nl);
	return err;
}

void nl_close(struct nl *nl)
{
	if (nl->sock)
		mnl_socket_close(nl->sock);
	free(nl->rx);
	memset(nl, 0, sizeof(*nl));
}

/* Bytes of one datagram from the kernel, in nl->rx; or -errno. */
static ssize_t receive(struct nl *nl, int flags)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {.iov_base = nl->rx, .iov_len = RX_SIZE};
		struct msghdr msg = {.msg_name = &from,
				     .msg_namelen = sizeof(from),
				     .msg_iov = &iov,
				     .msg_iovlen = 1};
		ssize_t n = recvmsg(mnl_socket_get_fd(nl->sock), &msg, flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (from.nl_pid != 0) /* not from the kernel */
			continue;
		if (msg.msg_flags & MSG_TRUNC) {
			explicit_bzero(nl->rx, RX_SIZE);
			return -EMSGSIZE;
		}
		return n;
	}
}

static int transmit(struct nl *nl, const void *buf, size_t len)
{
	ssize_t n;

	do
		n = mnl_socket_sendto(nl->sock, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* ---- one request, or a dump ---- */

struct answer {
	struct nl *nl;
	mnl_cb_t cb;
	void *data;
	bool dump, done, torn;
	int error;
};

static void answer_message(struct answer *a, const struct nlmsghdr *nlh)
{
	struct nl *nl = a->nl;
	int err = 0;

	if (nlh->nlmsg_seq != nl->seq || nlh->nlmsg_pid != nl->portid)
		return;
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		a->torn = true;
	switch (nlh->nlmsg_type) {
	case NLMSG_ERROR:
	case NLMSG_DONE:
		/* A dump that was refused half way says so in its last message. */
		if (!nl_parse_error(nlh, &err, nl->why, sizeof(nl->why)))
			err = nlh->nlmsg_type == NLMSG_ERROR ? -EBADMSG : 0;
		if (nlh->nlmsg_type == NLMSG_ERROR || a->dump)
			a->done = true;
		if (err && !a->error)
			a->error = err;
		return;
	case NLMSG_NOOP:
	case NLMSG_OVERRUN:
		return;
	default:
		break;
	}
	errno = 0;
	if (a->cb && !a->error && a->cb(nlh, a->data) < MNL_CB_STOP)
		a->error = errno ? -errno : -EBADMSG;
}

static int answer_read(struct answer *a)
{
	while (!a->done) {
		ssize_t n = receive(a->nl, 0);
		int left = (int)n;

		if (n < 0)
			return n == -EAGAIN ? -ETIMEDOUT : (int)n;
		for (const struct nlmsghdr *nlh = (const void *)a->nl->rx; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			answer_message(a, nlh);
		explicit_bzero(a->nl->rx, (size_t)n);
	}
	if (a->error)
		return a->error;
	return a->torn ? -EAGAIN : 0;
}

static int ask(struct nl *nl, struct nlmsghdr *nlh, uint16_t flags, struct answer *a)
{
	int err;

	nl->why[0] = '\0';
	nlh->nlmsg_flags |= flags;
	nlh->nlmsg_seq = ++nl->seq;
	nlh->nlmsg_pid = nl->portid;
	err = transmit(nl, nlh, nlh->nlmsg_len);
	return err ? err : answer_read(a);
}

int nl_talk(struct nl *nl, struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
	struct answer a = {.nl = nl, .cb = cb, .data = data};

	return ask(nl, nlh, NLM_F_REQUEST | NLM_F_ACK, &a);
}

int nl_dump(struct nl *nl, struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
	struct answer a = {.nl = nl, .cb = cb, .data = data, .dump = true};

	return ask(nl, nlh, NLM_F_REQUEST | NLM_F_DUMP, &a);
}

int nl_dump_retry(struct nl *nl, struct nlmsghdr *nlh, mnl_cb_t cb, void (*reset)(void *data),
		  void *data)
{
	int err = nl_dump(nl, nlh, cb, data);

	for (int i = 1; i < DUMP_TRIES && err == -EAGAIN; i++) {
		reset(data);
		err = nl_dump(nl, nlh, cb, data);
	}
	return err;
}

/* ---- many requests ---- */

struct exchange {
	struct nl *nl;
	uint32_t first; /* sequence number of request 0 */
	size_t n;
	bool *waits;	/* for an ACK, by request */
	bool cancelled; /* a request without NLM_F_ACK was refused */
	nl_answer_fn answer;
	void *owner;
};

static void exchange_message(struct exchange *x, const struct nlmsghdr *nlh)
{
	size_t i = nlh->nlmsg_seq - x->first;
	char why[sizeof(x->nl->why)];
	int err;

	if (nlh->nlmsg_type != NLMSG_ERROR || nlh->nlmsg_pid != x->nl->portid || i >= x->n)
		return;
	if (!nl_parse_error(nlh, &err, why, sizeof(why)))
		return;
	if (!x->waits[i] && !err)
		return;
	if (!x->waits[i])
		x->cancelled = true;
	x->waits[i] = false;
	x->answer(x->owner, i, err, why);
}

static void exchange_read(struct exchange *x)
{
	struct nl *nl = x->nl;

	for (;;) {
		ssize_t n = receive(nl, MSG_DONTWAIT);
		int left = (int)n;

		if (n == -ENOBUFS || n == -EMSGSIZE) /* something is lost, the rest is there */
			continue;
		if (n < 0)
			break;
		for (const struct nlmsghdr *nlh = (const void *)nl->rx; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			exchange_message(x, nlh);
		explicit_bzero(nl->rx, (size_t)n);
	}
	for (size_t i = 0; i < x->n; i++)
		if (x->waits[i])
			x->answer(x->owner, i, x->cancelled ? -ECANCELED : -ENOBUFS, "");
}

/* Numbers the requests; with `waits`, notes which want an ACK. Returns how many there are. */
static size_t number(const struct nl *nl, void *buf, size_t len, bool *waits)
{
	struct nlmsghdr *nlh = buf;
	int left = (int)len;
	size_t n = 0;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left), n++) {
		nlh->nlmsg_seq = nl->seq + 1 + (uint32_t)n;
		nlh->nlmsg_pid = nl->portid;
		if (waits)
			waits[n] = nlh->nlmsg_flags & NLM_F_ACK;
	}
	return n;
}

/* A message must fit into the send buffer; a transaction of nf_tables may be megabytes. */
static void make_room(struct nl *nl, size_t len)
{
	int fd = mnl_socket_get_fd(nl->sock), size = 0, want = (int)len + 4096;
	socklen_t n = sizeof(size);

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &n) == 0 && size >= want)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof(want));
}

int nl_exchange(struct nl *nl, void *buf, size_t len, nl_answer_fn answer, void *owner)
{
	struct exchange x = {.nl = nl, .first = nl->seq + 1, .answer = answer, .owner = owner};
	int err;

	x.n = number(nl, buf, len, NULL);
	if (!x.n)
		return 0;
	x.waits = xcalloc(x.n, sizeof(*x.waits));
	number(nl, buf, len, x.waits);
	nl->seq += (uint32_t)x.n;
	make_room(nl, len);
	err = transmit(nl, buf, len);
	if (!err)
		exchange_read(&x);
	free(x.waits);
	return err;
}

void nl_batch_init(struct nl_batch *b, struct nl *nl, nl_result_fn result, void *owner)
{
	memset(b, 0, sizeof(*b));
	b->nl = nl;
	b->result = result;
	b->owner = owner;
	b->buf = xcalloc(1, NL_BATCH_MAX);
}

void nl_batch_add(struct nl_batch *b, const struct nlmsghdr *nlh, void *arg)
{
	size_t len = NLMSG_ALIGN(nlh->nlmsg_len);
	struct nlmsghdr *copy;

	if (b->n == NL_BATCH_MSGS || b->len + len > NL_BATCH_MAX)
		nl_batch_flush(b);
	if (len > NL_BATCH_MAX) {
		b->result(b->owner, arg, -EMSGSIZE, "");
		return;
	}
	copy = (struct nlmsghdr *)(b->buf + b->len);
	memcpy(copy, nlh, nlh->nlmsg_len);
	copy->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	b->len += len;
	b->args[b->n++] = arg;
}

static void batch_answer(void *owner, size_t index, int error, const char *why)
{
	struct nl_batch *b = owner;

	b->result(b->owner, b->args[index], error, why);
}

void nl_batch_flush(struct nl_batch *b)
{
	int err;

	if (!b->n)
		return;
	err = nl_exchange(b->nl, b->buf, b->len, batch_answer, b);
	for (size_t i = 0; err && i < b->n; i++)
		b->result(b->owner, b->args[i], err, "");
	explicit_bzero(b->buf, b->len);
	b->len = b->n = 0;
}

void nl_batch_done(struct nl_batch *b)
{
	if (b->buf)
		explicit_bzero(b->buf, b->len);
	free(b->buf);
	memset(b, 0, sizeof(*b));
}

/* ---- generic netlink's own family ---- */

static int family_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *tb[CTRL_ATTR_FAMILY_ID + 1];

	if (!nl_msg_attrs(nlh, sizeof(struct genlmsghdr), tb, CTRL_ATTR_FAMILY_ID))
		*(uint16_t *)data = nl_u16(tb[CTRL_ATTR_FAMILY_ID], 0);
	return MNL_CB_OK;
}

static struct nlmsghdr *family_request(void *buf)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));

	nlh->nlmsg_type = GENL_ID_CTRL;
	g->cmd = CTRL_CMD_GETFAMILY;
	g->version = 1;
	return nlh;
}

int nl_genl_family(struct nl *nl, const char *name, uint16_t *ret_id)
{
	char buf[256] = {0};
	struct nlmsghdr *nlh = family_request(buf);
	uint16_t id = 0;
	int err;

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, name);
	err = nl_talk(nl, nlh, family_cb, &id);
	if (err)
		return err;
	if (!id)
		return -ENOENT;
	*ret_id = id;
	return 0;
}

struct find_family {
	const char *name, *group;
	uint16_t id;
	uint32_t group_id;
};

static int find_family_cb(const struct nlmsghdr *nlh, void *data)
{
	struct find_family *f = data;

	nl_parse_family(nlh, f->name, f->group, &f->id, &f->group_id);
	return MNL_CB_OK;
}

static void find_family_reset(void *data)
{
	struct find_family *f = data;

	f->id = 0;
}

int nl_genl_find(struct nl *nl, const char *name, const char *group, uint16_t *ret_id,
		 uint32_t *ret_group)
{
	struct find_family f = {.name = name, .group = group};
	char buf[64] = {0};
	int err = nl_dump_retry(nl, family_request(buf), find_family_cb, find_family_reset, &f);

	if (err)
		return err;
	if (!f.id)
		return -ENOENT;
	*ret_id = f.id;
	*ret_group = f.group_id;
	return 0;
}

/* ---- pure ---- */

static void copy_str(const void *p, size_t len, char *buf, size_t size)
{
	size_t n = strnlen(p, len);

	if (n > size - 1)
		n = size - 1;
	memcpy(buf, p, n);
	buf[n] = '\0';
}

bool nl_parse_error(const struct nlmsghdr *nlh, int *ret_error, char *why, size_t why_size)
{
	const char *p = mnl_nlmsg_get_payload(nlh);
	size_t len = nlh->nlmsg_len < NLMSG_HDRLEN ? 0 : nlh->nlmsg_len - NLMSG_HDRLEN, skip;
	const struct nlattr *tb[NLMSGERR_ATTR_MSG + 1];
	const struct nlmsgerr *e = (const void *)p;

	why[0] = '\0';
	if (nlh->nlmsg_type == NLMSG_ERROR)
		skip = sizeof(*e);
	else
		skip = sizeof(int);
	if (len < skip)
		return false;
	memcpy(ret_error, p, sizeof(int));
	if (*ret_error > 0)
		*ret_error = nlh->nlmsg_type == NLMSG_ERROR ? -*ret_error : 0;
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return true;
	if (nlh->nlmsg_type == NLMSG_ERROR && !(nlh->nlmsg_flags & NLM_F_CAPPED)) {
		if (e->msg.nlmsg_len < NLMSG_HDRLEN || e->msg.nlmsg_len > len)
			return true;
		skip += NLMSG_ALIGN(e->msg.nlmsg_len - NLMSG_HDRLEN);
	}
	if (skip > len)
		return true;
	nl_attrs(p + skip, len - skip, tb, NLMSGERR_ATTR_MSG);
	nl_str(tb[NLMSGERR_ATTR_MSG], why, why_size);
	return true;
}

void nl_attrs(const void *p, size_t len, const struct nlattr **tb, size_t max)
{
	const char *at = p;

	memset(tb, 0, (max + 1) * sizeof(*tb));
	while (len >= NLA_HDRLEN) {
		const struct nlattr *a = (const void *)at;
		size_t step = NLA_ALIGN((size_t)a->nla_len);
		unsigned int type = a->nla_type & NLA_TYPE_MASK;

		if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
			return;
		if (type <= max)
			tb[type] = a;
		if (step >= len)
			return;
		at += step;
		len -= step;
	}
}

int nl_msg_attrs(const struct nlmsghdr *nlh, size_t header, const struct nlattr **tb, size_t max)
{
	size_t skip = NLMSG_HDRLEN + NLMSG_ALIGN(header);

	memset(tb, 0, (max + 1) * sizeof(*tb));
	if (nlh->nlmsg_len < NLMSG_HDRLEN + header)
		return -EBADMSG;
	if (nlh->nlmsg_len > skip)
		nl_attrs((const char *)nlh + skip, nlh->nlmsg_len - skip, tb, max);
	return 0;
}

static size_t payload(const struct nlattr *a)
{
	return a ? (size_t)(a->nla_len - NLA_HDRLEN) : 0;
}

static const void *value(const struct nlattr *a)
{
	return (const char *)a + NLA_HDRLEN;
}

void nl_nested(const struct nlattr *a, const struct nlattr **tb, size_t max)
{
	if (a)
		nl_attrs(value(a), payload(a), tb, max);
	else
		memset(tb, 0, (max + 1) * sizeof(*tb));
}

uint8_t nl_u8(const struct nlattr *a, uint8_t def)
{
	if (payload(a) >= sizeof(def))
		memcpy(&def, value(a), sizeof(def));
	return def;
}

uint16_t nl_u16(const struct nlattr *a, uint16_t def)
{
	if (payload(a) >= sizeof(def))
		memcpy(&def, value(a), sizeof(def));
	return def;
}

uint32_t nl_u32(const struct nlattr *a, uint32_t def)
{
	if (payload(a) >= sizeof(def))
		memcpy(&def, value(a), sizeof(def));
	return def;
}

uint64_t nl_u64(const struct nlattr *a, uint64_t def)
{
	if (payload(a) >= sizeof(def))
		memcpy(&def, value(a), sizeof(def));
	return def;
}

const char *nl_str(const struct nlattr *a, char *buf, size_t size)
{
	copy_str(a ? value(a) : "", payload(a), buf, size);
	return buf;
}

bool nl_bytes(const struct nlattr *a, void *ret, size_t size)
{
	if (!a || payload(a) != size)
		return false;
	memcpy(ret, value(a), size);
	return true;
}

static uint32_t parse_group(const struct nlattr *groups, const char *name)
{
	const struct nlattr *tb[CTRL_ATTR_MCAST_GRP_MAX + 1], *a;
	char buf[GENL_NAMSIZ];

	if (!groups)
		return 0;
	mnl_attr_for_each_nested(a, groups)
	{
		nl_nested(a, tb, CTRL_ATTR_MCAST_GRP_MAX);
		if (strcmp(nl_str(tb[CTRL_ATTR_MCAST_GRP_NAME], buf, sizeof(buf)), name) == 0)
			return nl_u32(tb[CTRL_ATTR_MCAST_GRP_ID], 0);
	}
	return 0;
}

bool nl_parse_family(const struct nlmsghdr *nlh, const char *name, const char *group,
		     uint16_t *ret_id, uint32_t *ret_group)
{
	const struct nlattr *tb[CTRL_ATTR_MCAST_GROUPS + 1];
	char buf[GENL_NAMSIZ];

	if (nl_msg_attrs(nlh, sizeof(struct genlmsghdr), tb, CTRL_ATTR_MCAST_GROUPS) ||
	    strcmp(nl_str(tb[CTRL_ATTR_FAMILY_NAME], buf, sizeof(buf)), name) != 0 ||
	    !nl_u16(tb[CTRL_ATTR_FAMILY_ID], 0))
		return false;
	*ret_id = nl_u16(tb[CTRL_ATTR_FAMILY_ID], 0);
	*ret_group = parse_group(tb[CTRL_ATTR_MCAST_GROUPS], group);
	return true;
}
