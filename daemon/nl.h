/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nl: one netlink socket: requests, dumps, batches, extended ACKs. The only caller of
 * mnl_socket_*.
 *
 * The kernel answers a request before sendmsg() returns, so that an answer which is not there
 * then is lost (ENOBUFS), never late; waits for the parts of a dump are bounded all the same.
 */
#ifndef WGSCALE_NL_H
#define WGSCALE_NL_H

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NL_MSG_MAX    (32 * 1024) /* bytes of one request that goes through a batch */
#define NL_BATCH_MAX  (64 * 1024) /* bytes sent at once by a batch */
#define NL_BATCH_MSGS 128	  /* their answers must fit into a receive buffer of 208 KiB */

struct nl {
	struct mnl_socket *sock;
	uint32_t portid;
	uint32_t seq;
	char why[256]; /* the kernel's words for the last error, or "" */
	char *rx;      /* wiped after each use: answers of WireGuard hold keys */
};

/* `bus` is NETLINK_ROUTE, NETLINK_GENERIC or NETLINK_NETFILTER. Turns on extended ACKs and strict
 * checking, and bounds waits for an answer. */
int nl_open(struct nl *nl, int bus);
/* Fine on a struct nl of all zeroes. */
void nl_close(struct nl *nl);

/* Sends one request with NLM_F_ACK and reads its ACK; 0 or -errno, nl->why set on error.
 * Answers before the ACK go to `cb` (may be NULL). */
int nl_talk(struct nl *nl, struct nlmsghdr *nlh, mnl_cb_t cb, void *data);

/* A dump: `cb` sees each message. A torn dump (NLM_F_DUMP_INTR) returns -EAGAIN after reading it
 * all: throw away what was collected and ask again (see nl_dump_retry). */
int nl_dump(struct nl *nl, struct nlmsghdr *nlh, mnl_cb_t cb, void *data);

/* A dump that is asked for again a few times while it comes torn; before each repetition `reset`
 * throws away what `cb` collected. */
int nl_dump_retry(struct nl *nl, struct nlmsghdr *nlh, mnl_cb_t cb, void (*reset)(void *data),
		  void *data);

/*
 * Sends `len` bytes of requests in one message and numbers them nl->seq + 1 onwards. `answer` is
 * called once for each request that has NLM_F_ACK, or that the kernel refuses without having been
 * asked for an ACK; `index` counts requests from 0, `error` is 0 or -errno, `why` the kernel's
 * words or "". A request whose answer was lost gets -ENOBUFS, or -ECANCELED when a request without
 * NLM_F_ACK was refused (the frame of an nf_tables batch), which kept it from being answered.
 * Returns -errno, and calls nothing, when nothing could be sent.
 */
typedef void (*nl_answer_fn)(void *owner, size_t index, int error, const char *why);
int nl_exchange(struct nl *nl, void *buf, size_t len, nl_answer_fn answer, void *owner);

/* Requests collected until there are many, each with a pointer of its own (`arg`). */
typedef void (*nl_result_fn)(void *owner, void *arg, int error, const char *why);

struct nl_batch {
	struct nl *nl;
	nl_result_fn result;
	void *owner;
	char *buf;
	size_t len, n;
	void *args[NL_BATCH_MSGS];
};

/* `result` is called once per request, with `owner`. */
void nl_batch_init(struct nl_batch *b, struct nl *nl, nl_result_fn result, void *owner);
/* Copies the request; sends what was collected when there is no room. */
void nl_batch_add(struct nl_batch *b, const struct nlmsghdr *nlh, void *arg);
void nl_batch_flush(struct nl_batch *b); /* wipes what was sent */
void nl_batch_done(struct nl_batch *b);	 /* drops what was not sent */

/* The number of a generic netlink family; -ENOENT: there is none (its module is tried, too). */
int nl_genl_family(struct nl *nl, const char *name, uint16_t *ret_id);

/* The same of one that is there already, with the number of its multicast group `group`, 0: it has
 * none such. Looks at all, since to ask for one has its module loaded. */
int nl_genl_find(struct nl *nl, const char *name, const char *group, uint16_t *ret_id,
		 uint32_t *ret_group);

/* ---- pure ---- */

/* Is it the description (CTRL_CMD_NEWFAMILY) of this family? As nl_genl_find(). */
bool nl_parse_family(const struct nlmsghdr *nlh, const char *name, const char *group,
		     uint16_t *ret_id, uint32_t *ret_group);

/* Error code (0: ACK) of an NLMSG_ERROR or NLMSG_DONE message, and the kernel's words. False when
 * it is too short for one. */
bool nl_parse_error(const struct nlmsghdr *nlh, int *ret_error, char *why, size_t why_size);
/* Attributes from `p` by type into tb[0..max]; absent ones are NULL, unknown ones left out. What
 * is cut short is left out, too. */
void nl_attrs(const void *p, size_t len, const struct nlattr **tb, size_t max);
/* Those after a family's header of `header` bytes; -EBADMSG when the message is shorter. */
int nl_msg_attrs(const struct nlmsghdr *nlh, size_t header, const struct nlattr **tb, size_t max);
void nl_nested(const struct nlattr *a, const struct nlattr **tb, size_t max); /* a may be NULL */
/* The value, or `def` when absent or too short. */
uint8_t nl_u8(const struct nlattr *a, uint8_t def);
uint16_t nl_u16(const struct nlattr *a, uint16_t def);
uint32_t nl_u32(const struct nlattr *a, uint32_t def);
uint64_t nl_u64(const struct nlattr *a, uint64_t def);
/* The string (at most size - 1 bytes of it) in buf, "" when absent. */
const char *nl_str(const struct nlattr *a, char *buf, size_t size);
/* Copies exactly `size` bytes; false when absent or of another length. */
bool nl_bytes(const struct nlattr *a, void *ret, size_t size);

#endif
