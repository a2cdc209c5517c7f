/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wg: the adapter of WireGuard's generic netlink family: keys, port and mark of a device, and its
 * peer entries. uAPI: include/uapi/linux/wireguard.h.
 */
#ifndef WGSCALE_WG_H
#define WGSCALE_WG_H

#include "kernel.h"
#include "nl.h"

struct wg;

/* `result` is called once or more per applied op (`arg` is the struct op): 0 or -errno. */
int wg_open(nl_result_fn result, void *owner, struct wg **ret_wg);
void wg_close(struct wg *w);
/* To be called before a round of the functions below: forgets the family's number and what the
 * kernel was found able to do, since the module may be another by now. */
void wg_begin(struct wg *w);

/* Adds the WGDEV and WGPEER objects of one device; as kernel_observe(). -ENODEV: it is gone. */
int wg_observe(struct wg *w, const char *dev, struct world *ret, const char **ret_why);
/* What somebody's WireGuard device listens on; 0: nothing, or it is gone. */
int wg_port(struct wg *w, const char *dev, uint16_t *ret_port);
/* As kernel_sample(). */
int wg_sample(struct wg *w, const char *dev, struct arena *a,
	      struct kernel_peer_sample **ret_samples, size_t *ret_n);

/* Collects the requests of one op; results come when there are many, or at wg_flush(). */
void wg_apply(struct wg *w, struct op *op);
void wg_flush(struct wg *w);

/* ---- pure ---- */

/* A device as WG_CMD_GET_DEVICE tells it. It comes in several messages when it is large; start
 * with all zeroes but for `arena`, parse them all, then call wg_parse_done(). */
struct wg_dump {
	struct arena *arena;
	bool skip_peers, skip_allowed; /* what not to keep */
	struct key public_key;	       /* zero: none */
	uint16_t port;
	uint32_t fwmark;
	struct obj_wgpeer *peers;
	size_t n_peers;
};

/* 0, or -EBADMSG. */
int wg_parse(const struct nlmsghdr *nlh, struct wg_dump *d);
void wg_parse_done(struct wg_dump *d); /* sorts the allowed IPs */

struct wg_allowed {
	struct prefix prefix;
	bool remove; /* kernels from 6.16 */
};

/* What to tell the kernel about a peer entry; NULL or absent: leave as it is. */
struct wg_change {
	const char *dev;
	struct key key;
	uint32_t flags; /* WGPEER_F_* */
	const struct key *psk;
	const struct sockep *endpoint;
	bool has_keepalive;
	uint16_t keepalive_s;
	struct wg_allowed *allowed;
	size_t n_allowed;
};

/*
 * The change that an OBJ_WGPEER op stands for. `psk` is what an inert peer gets. Without
 * `remove_me` allowed IPs are taken away by replacing them all. `allowed` lies in `a`, the rest
 * in the op's objects and at `psk`.
 */
void wg_diff_peer(const struct op *op, bool remove_me, const struct key *psk, struct arena *a,
		  struct wg_change *ret);
bool wg_takes_allowed(const struct op *op); /* does it take away allowed IPs, but not all? */

/* `buf` has NL_MSG_MAX bytes. Encodes as many allowed IPs from *at on as fit and moves it; call
 * again until it is n_allowed. */
struct nlmsghdr *wg_encode_peer(void *buf, uint16_t family, const struct wg_change *c, size_t *at);
/* What differs from `have`; all when that is NULL. */
struct nlmsghdr *wg_encode_device(void *buf, uint16_t family, const struct obj *want,
				  const struct obj *have);
struct nlmsghdr *wg_encode_get(void *buf, uint16_t family, const char *dev);

#endif
