/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nft_rule: the few kinds of nf_tables rules wgscale uses, as data and as one line of text. Pure.
 *
 * The line is what plans and golden files show, and is kept as the rule's comment in the kernel.
 * Words (MARK, MASK and S in hex with 0x, CHAIN and MAP names of the same table):
 *
 *   outer mark=MARK mask=MASK          accept if (mark & MASK) == MARK
 *   nets4 map=MAP | nets6 map=MAP      ip(6) daddr vmap @MAP
 *   frag4 goto=CHAIN | frag6 goto=CHAIN   any fragment, also the first
 *   ports goto=CHAIN                   meta l4proto { tcp, udp, udplite, sctp, dccp } goto CHAIN
 *   hash4 ports seed=S swap=0 map=MAP  jhash ip saddr . ip daddr . th sport . th dport ... vmap
 *   hash4 addrs seed=S swap=1 map=MAP  with swap=1 source and destination change places
 *   hash6 ports ... | hash6 addrs ...
 *   goto=CHAIN
 *   mark set=MARK mask=MASK            counter; mark = (mark & ~MASK) | MARK
 *   oif prefix=wgs accept              oifname "wgs*" accept
 *   oif lo accept
 *   drop4 set=SET | drop6 set=SET      ip(6) daddr @SET counter drop
 *   mss oif prefix=wgs | mss iif prefix=wgs   tcp flags & (syn|rst) == syn: maxseg = route MTU
 */
#ifndef WGSCALE_NFT_RULE_H
#define WGSCALE_NFT_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

/* Fits "steer4-SITE"; with it a line fits into a comment as nft reads it (NFT_RULE_LINE_MAX). */
#define NFT_RULE_TARGET_MAX 79
/* Bytes of the longest line. */
#define NFT_RULE_LINE_MAX 127

enum nft_rule_kind {
	NFT_RULE_OUTER,
	NFT_RULE_NETS,
	NFT_RULE_FRAG,
	NFT_RULE_PORTS,
	NFT_RULE_HASH,
	NFT_RULE_GOTO,
	NFT_RULE_MARK,
	NFT_RULE_OIF_PREFIX,
	NFT_RULE_OIF_LO,
	NFT_RULE_DROP,
	NFT_RULE_MSS,
};

struct nft_rule {
	enum nft_rule_kind kind;
	uint8_t family;	     /* AF_INET or AF_INET6 for NETS, FRAG, HASH, DROP; else 0 */
	uint32_t mark, mask; /* OUTER, MARK */
	uint32_t seed;	     /* HASH */
	bool ports, swap;    /* HASH */
	bool iif;	     /* MSS: by iifname rather than oifname */
	char target[NFT_RULE_TARGET_MAX + 1]; /* chain, map, set, or device name prefix */
};

void nft_rule_print(const struct nft_rule *r, struct text *out);
/* Parses exactly what nft_rule_print writes; -EINVAL else. */
int nft_rule_parse(const char *line, struct nft_rule *ret);

#endif
