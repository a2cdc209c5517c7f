/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Rules as nf_tables expressions. Registers, lengths and order of the expressions are those
 * that nft 1.0.6 makes of the same rule, so that it can list them; the kernel gives them back
 * unchanged but for attributes it fills in itself (see `lenient`). Invariant: what is encoded here,
 * sent and read back, compares as equal; anything that would treat a packet otherwise does not.
 * The lines are nft_rule.c's; the sets that expressions name are nft_set.c's.
 */
#include "nft_expr.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include <libnftnl/expr.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "model.h"

#define PROTOS_NAME "__set%d"

/* One attribute of an expression; attr 0 ends a list. */
struct value {
	uint16_t attr;
	uint16_t len;
	const void *bytes;
	const char *str;
	uint32_t u32;
};

#define U32(a, v)                                                \
	{                                                        \
		.attr = (a), .len = sizeof(uint32_t), .u32 = (v) \
	}
#define U8(a, v)                                                \
	{                                                       \
		.attr = (a), .len = sizeof(uint8_t), .u32 = (v) \
	}
#define STR(a, s)                       \
	{                               \
		.attr = (a), .str = (s) \
	}
#define BYTES(a, p, n)                                          \
	{                                                       \
		.attr = (a), .len = (uint16_t)(n), .bytes = (p) \
	}
#define EXPR(e, name, ...) \
	add(e, name, (const struct value[]){__VA_ARGS__, {.attr = NFTNL_EXPR_NAME}})

struct encoder {
	struct nftnl_rule *rule;
	int error;
};

static void add(struct encoder *e, const char *name, const struct value *values)
{
	struct nftnl_expr *x = nftnl_expr_alloc(name);

	if (!x) {
		e->error = -ENOMEM;
		return;
	}
	for (const struct value *v = values; v->attr; v++) {
		if (v->str)
			nftnl_expr_set_str(x, v->attr, v->str);
		else if (v->bytes)
			nftnl_expr_set(x, v->attr, v->bytes, v->len);
		else if (v->len == sizeof(uint8_t))
			nftnl_expr_set_u8(x, v->attr, (uint8_t)v->u32);
		else
			nftnl_expr_set_u32(x, v->attr, v->u32);
	}
	nftnl_rule_add_expr(e->rule, x);
}

static void load_meta(struct encoder *e, enum nft_meta_keys key)
{
	EXPR(e, "meta", U32(NFTNL_EXPR_META_KEY, key), U32(NFTNL_EXPR_META_DREG, NFT_REG_1));
}

static void load_payload(struct encoder *e, enum nft_payload_bases base, uint32_t offset,
			 uint32_t len, uint32_t reg)
{
	EXPR(e, "payload", U32(NFTNL_EXPR_PAYLOAD_DREG, reg), U32(NFTNL_EXPR_PAYLOAD_BASE, base),
	     U32(NFTNL_EXPR_PAYLOAD_OFFSET, offset), U32(NFTNL_EXPR_PAYLOAD_LEN, len));
}

static void compare(struct encoder *e, enum nft_cmp_ops op, const void *data, size_t len)
{
	EXPR(e, "cmp", U32(NFTNL_EXPR_CMP_SREG, NFT_REG_1), U32(NFTNL_EXPR_CMP_OP, op),
	     BYTES(NFTNL_EXPR_CMP_DATA, data, len));
}

static void bitwise(struct encoder *e, const void *mask, const void * xor, uint32_t len)
{
	EXPR(e, "bitwise", U32(NFTNL_EXPR_BITWISE_SREG, NFT_REG_1),
	     U32(NFTNL_EXPR_BITWISE_DREG, NFT_REG_1), U32(NFTNL_EXPR_BITWISE_LEN, len),
	     BYTES(NFTNL_EXPR_BITWISE_MASK, mask, len), BYTES(NFTNL_EXPR_BITWISE_XOR, xor, len));
}

static void verdict(struct encoder *e, int code)
{
	EXPR(e, "immediate", U32(NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT),
	     U32(NFTNL_EXPR_IMM_VERDICT, (uint32_t)code));
}

static void go_to(struct encoder *e, const char *chain)
{
	EXPR(e, "immediate", U32(NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT),
	     U32(NFTNL_EXPR_IMM_VERDICT, (uint32_t)NFT_GOTO), STR(NFTNL_EXPR_IMM_CHAIN, chain));
}

static void lookup_verdict(struct encoder *e, const char *map)
{
	EXPR(e, "lookup", U32(NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1),
	     U32(NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT), STR(NFTNL_EXPR_LOOKUP_SET, map));
}

static void count(struct encoder *e)
{
	add(e, "counter", (const struct value[]){{.attr = NFTNL_EXPR_NAME}});
}

static void match_family(struct encoder *e, uint8_t family)
{
	uint8_t proto = family == AF_INET6 ? NFPROTO_IPV6 : NFPROTO_IPV4;

	load_meta(e, NFT_META_NFPROTO);
	compare(e, NFT_CMP_EQ, &proto, sizeof(proto));
}

static void load_daddr(struct encoder *e, uint8_t family)
{
	if (family == AF_INET6)
		load_payload(e, NFT_PAYLOAD_NETWORK_HEADER, 24, 16, NFT_REG_1);
	else
		load_payload(e, NFT_PAYLOAD_NETWORK_HEADER, 16, 4, NFT_REG_1);
}

static void encode_outer(struct encoder *e, const struct nft_rule *r)
{
	uint32_t zero = 0;

	load_meta(e, NFT_META_MARK);
	bitwise(e, &r->mask, &zero, sizeof(zero));
	compare(e, NFT_CMP_EQ, &r->mark, sizeof(r->mark));
	verdict(e, NF_ACCEPT);
}

static void encode_frag(struct encoder *e, const struct nft_rule *r)
{
	match_family(e, r->family);
	if (r->family == AF_INET6) {
		uint8_t yes = 1;

		EXPR(e, "exthdr", U32(NFTNL_EXPR_EXTHDR_DREG, NFT_REG_1),
		     U8(NFTNL_EXPR_EXTHDR_TYPE, IPPROTO_FRAGMENT), U32(NFTNL_EXPR_EXTHDR_OFFSET, 0),
		     U32(NFTNL_EXPR_EXTHDR_LEN, 1),
		     U32(NFTNL_EXPR_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT));
		compare(e, NFT_CMP_EQ, &yes, sizeof(yes));
	} else {
		/* More fragments, or an offset. */
		uint16_t mask = htons(0x3fff), zero = 0;

		load_payload(e, NFT_PAYLOAD_NETWORK_HEADER, 6, 2, NFT_REG_1);
		bitwise(e, &mask, &zero, sizeof(zero));
		compare(e, NFT_CMP_NEQ, &zero, sizeof(zero));
	}
	go_to(e, r->target);
}

static void encode_ports(struct encoder *e, const struct nft_rule *r, uint32_t protos_id)
{
	load_meta(e, NFT_META_L4PROTO);
	EXPR(e, "lookup", U32(NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1),
	     STR(NFTNL_EXPR_LOOKUP_SET, PROTOS_NAME), U32(NFTNL_EXPR_LOOKUP_SET_ID, protos_id));
	go_to(e, r->target);
}

static void encode_hash(struct encoder *e, const struct nft_rule *r)
{
	bool v6 = r->family == AF_INET6;
	uint32_t bytes = v6 ? 16 : 4, words = bytes / 4;
	uint32_t source = v6 ? 8 : 12, dest = v6 ? 24 : 16;
	/* Fields in consecutive 32-bit registers, the first being the first quarter of NFT_REG_2.
	 * A register that starts a 128-bit one has to go by the latter's name. */
	uint32_t second = v6 ? NFT_REG_3 : NFT_REG32_05;
	uint32_t third = v6 ? NFT_REG_4 : NFT_REG32_06;
	uint32_t fourth = v6 ? NFT_REG32_13 : NFT_REG32_07;

	match_family(e, r->family);
	load_payload(e, NFT_PAYLOAD_NETWORK_HEADER, r->swap ? dest : source, bytes, NFT_REG_2);
	load_payload(e, NFT_PAYLOAD_NETWORK_HEADER, r->swap ? source : dest, bytes, second);
	if (r->ports) {
		load_payload(e, NFT_PAYLOAD_TRANSPORT_HEADER, r->swap ? 2 : 0, 2, third);
		load_payload(e, NFT_PAYLOAD_TRANSPORT_HEADER, r->swap ? 0 : 2, 2, fourth);
	}
	EXPR(e, "hash", U32(NFTNL_EXPR_HASH_SREG, NFT_REG_2), U32(NFTNL_EXPR_HASH_DREG, NFT_REG_1),
	     U32(NFTNL_EXPR_HASH_LEN, (2 * words + (r->ports ? 2 : 0)) * 4),
	     U32(NFTNL_EXPR_HASH_MODULUS, MODEL_BUCKETS), U32(NFTNL_EXPR_HASH_SEED, r->seed),
	     U32(NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS));
	lookup_verdict(e, r->target);
}

static void encode_mark(struct encoder *e, const struct nft_rule *r)
{
	uint32_t keep = ~r->mask;

	count(e);
	load_meta(e, NFT_META_MARK);
	bitwise(e, &keep, &r->mark, sizeof(keep));
	EXPR(e, "meta", U32(NFTNL_EXPR_META_KEY, NFT_META_MARK),
	     U32(NFTNL_EXPR_META_SREG, NFT_REG_1));
}

static void encode_mss(struct encoder *e, const struct nft_rule *r)
{
	uint8_t tcp = IPPROTO_TCP, syn_rst = 0x06, syn = 0x02, zero = 0;

	load_meta(e, r->iif ? NFT_META_IIFNAME : NFT_META_OIFNAME);
	compare(e, NFT_CMP_EQ, r->target, strlen(r->target));
	load_meta(e, NFT_META_L4PROTO);
	compare(e, NFT_CMP_EQ, &tcp, sizeof(tcp));
	load_payload(e, NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1, NFT_REG_1);
	bitwise(e, &syn_rst, &zero, sizeof(zero));
	compare(e, NFT_CMP_EQ, &syn, sizeof(syn));
	EXPR(e, "rt", U32(NFTNL_EXPR_RT_KEY, NFT_RT_TCPMSS), U32(NFTNL_EXPR_RT_DREG, NFT_REG_1));
	EXPR(e, "byteorder", U32(NFTNL_EXPR_BYTEORDER_DREG, NFT_REG_1),
	     U32(NFTNL_EXPR_BYTEORDER_SREG, NFT_REG_1),
	     U32(NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON), U32(NFTNL_EXPR_BYTEORDER_LEN, 2),
	     U32(NFTNL_EXPR_BYTEORDER_SIZE, 2));
	/* Option 2, maximum segment size: kind, length, 16 bits. */
	EXPR(e, "exthdr", U32(NFTNL_EXPR_EXTHDR_SREG, NFT_REG_1), U8(NFTNL_EXPR_EXTHDR_TYPE, 2),
	     U32(NFTNL_EXPR_EXTHDR_OFFSET, 2), U32(NFTNL_EXPR_EXTHDR_LEN, 2),
	     U32(NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT));
}

static void encode_kind(struct encoder *e, const struct nft_rule *r, uint32_t protos_id)
{
	static const char lo[IFNAMSIZ] = "lo";

	switch (r->kind) {
	case NFT_RULE_OUTER:
		encode_outer(e, r);
		break;
	case NFT_RULE_NETS:
		match_family(e, r->family);
		load_daddr(e, r->family);
		lookup_verdict(e, r->target);
		break;
	case NFT_RULE_FRAG:
		encode_frag(e, r);
		break;
	case NFT_RULE_PORTS:
		encode_ports(e, r, protos_id);
		break;
	case NFT_RULE_HASH:
		encode_hash(e, r);
		break;
	case NFT_RULE_GOTO:
		go_to(e, r->target);
		break;
	case NFT_RULE_MARK:
		encode_mark(e, r);
		break;
	case NFT_RULE_OIF_PREFIX:
		load_meta(e, NFT_META_OIFNAME);
		compare(e, NFT_CMP_EQ, r->target, strlen(r->target));
		verdict(e, NF_ACCEPT);
		break;
	case NFT_RULE_OIF_LO:
		load_meta(e, NFT_META_OIFNAME);
		compare(e, NFT_CMP_EQ, lo, sizeof(lo));
		verdict(e, NF_ACCEPT);
		break;
	case NFT_RULE_DROP:
		match_family(e, r->family);
		load_daddr(e, r->family);
		EXPR(e, "lookup", U32(NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1),
		     STR(NFTNL_EXPR_LOOKUP_SET, r->target));
		count(e);
		verdict(e, NF_DROP);
		break;
	case NFT_RULE_MSS:
		encode_mss(e, r);
		break;
	}
}

static int encode_comment(const struct nft_rule *r, struct nftnl_rule *ret)
{
	struct nftnl_udata_buf *buf = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	struct text line = {0};
	int error = buf ? 0 : -ENOMEM;

	nft_rule_print(r, &line);
	if (!error && line.len > NFT_RULE_LINE_MAX)
		error = -EINVAL;
	if (!error && !nftnl_udata_put_strz(buf, NFTNL_UDATA_RULE_COMMENT, text_str(&line)))
		error = -EINVAL;
	if (!error)
		error = nftnl_rule_set_data(ret, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(buf),
					    nftnl_udata_buf_len(buf))
				? -ENOMEM
				: 0;
	text_done(&line);
	if (buf)
		nftnl_udata_buf_free(buf);
	return error;
}

int nft_expr_encode(const struct nft_rule *r, uint32_t protos_id, struct nftnl_rule *ret)
{
	struct encoder e = {.rule = ret};

	encode_kind(&e, r, protos_id);
	return e.error ? e.error : encode_comment(r, ret);
}

/* ---- comparison ---- */

/* The attributes that tell what an expression does; 0 ends a list. `lenient`: absent is the same as
 * zero, since the kernel fills it in. */
static const struct expr_attrs {
	const char *name;
	uint16_t strict[8];
	uint16_t lenient[3];
} known[] = {
	{"meta", {NFTNL_EXPR_META_KEY, NFTNL_EXPR_META_DREG, NFTNL_EXPR_META_SREG}, {0}},
	{"payload",
	 {NFTNL_EXPR_PAYLOAD_DREG, NFTNL_EXPR_PAYLOAD_BASE, NFTNL_EXPR_PAYLOAD_OFFSET,
	  NFTNL_EXPR_PAYLOAD_LEN, NFTNL_EXPR_PAYLOAD_SREG},
	 {0}},
	{"cmp", {NFTNL_EXPR_CMP_SREG, NFTNL_EXPR_CMP_OP, NFTNL_EXPR_CMP_DATA}, {0}},
	{"bitwise",
	 {NFTNL_EXPR_BITWISE_SREG, NFTNL_EXPR_BITWISE_DREG, NFTNL_EXPR_BITWISE_LEN,
	  NFTNL_EXPR_BITWISE_MASK, NFTNL_EXPR_BITWISE_XOR, NFTNL_EXPR_BITWISE_DATA},
	 {NFTNL_EXPR_BITWISE_OP}},
	{"immediate",
	 {NFTNL_EXPR_IMM_DREG, NFTNL_EXPR_IMM_VERDICT, NFTNL_EXPR_IMM_CHAIN, NFTNL_EXPR_IMM_DATA},
	 {0}},
	/* The set's name: see lookup_equal(). */
	{"lookup", {NFTNL_EXPR_LOOKUP_SREG, NFTNL_EXPR_LOOKUP_DREG}, {NFTNL_EXPR_LOOKUP_FLAGS}},
	{"hash",
	 {NFTNL_EXPR_HASH_SREG, NFTNL_EXPR_HASH_DREG, NFTNL_EXPR_HASH_LEN, NFTNL_EXPR_HASH_MODULUS,
	  NFTNL_EXPR_HASH_SEED},
	 {NFTNL_EXPR_HASH_OFFSET, NFTNL_EXPR_HASH_TYPE}},
	{"exthdr",
	 {NFTNL_EXPR_EXTHDR_DREG, NFTNL_EXPR_EXTHDR_SREG, NFTNL_EXPR_EXTHDR_TYPE,
	  NFTNL_EXPR_EXTHDR_OFFSET, NFTNL_EXPR_EXTHDR_LEN},
	 {NFTNL_EXPR_EXTHDR_FLAGS, NFTNL_EXPR_EXTHDR_OP}},
	{"rt", {NFTNL_EXPR_RT_KEY, NFTNL_EXPR_RT_DREG}, {0}},
	{"byteorder",
	 {NFTNL_EXPR_BYTEORDER_DREG, NFTNL_EXPR_BYTEORDER_SREG, NFTNL_EXPR_BYTEORDER_OP,
	  NFTNL_EXPR_BYTEORDER_LEN, NFTNL_EXPR_BYTEORDER_SIZE},
	 {0}},
	{"counter", {0}, {0}},
};

static bool all_zero(const void *p, uint32_t len)
{
	const uint8_t *b = p;

	for (uint32_t i = 0; i < len; i++)
		if (b[i])
			return false;
	return true;
}

static bool attr_equal(const struct nftnl_expr *have, const struct nftnl_expr *want, uint16_t attr,
		       bool lenient)
{
	uint32_t have_len = 0, want_len = 0;
	const void *h = nftnl_expr_get(have, attr, &have_len);
	const void *w = nftnl_expr_get(want, attr, &want_len);

	if (h && w)
		return have_len == want_len && memcmp(h, w, have_len) == 0;
	if (lenient)
		return all_zero(h ? h : w, h ? have_len : w ? want_len : 0);
	return !h && !w;
}

static bool lookup_equal(const struct nftnl_expr *have, const struct nftnl_expr *want,
			 nft_expr_set_fn set_ok, void *data)
{
	const char *h = nftnl_expr_get_str(have, NFTNL_EXPR_LOOKUP_SET);
	const char *w = nftnl_expr_get_str(want, NFTNL_EXPR_LOOKUP_SET);
	bool protos = strcmp(w, PROTOS_NAME) == 0;

	return h && (protos || strcmp(h, w) == 0) && set_ok(data, h, protos);
}

static bool expr_equal(const struct nftnl_expr *have, const struct nftnl_expr *want,
		       nft_expr_set_fn set_ok, void *data)
{
	const char *name = nftnl_expr_get_str(want, NFTNL_EXPR_NAME);

	if (strcmp(nftnl_expr_get_str(have, NFTNL_EXPR_NAME), name) != 0)
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		for (const uint16_t *attr = known[i].strict; *attr; attr++)
			if (!attr_equal(have, want, *attr, false))
				return false;
		for (const uint16_t *attr = known[i].lenient; *attr; attr++)
			if (!attr_equal(have, want, *attr, true))
				return false;
		return strcmp(name, "lookup") != 0 || lookup_equal(have, want, set_ok, data);
	}
	return false;
}

static bool exprs_equal(struct nftnl_rule *have, struct nftnl_rule *want, nft_expr_set_fn set_ok,
			void *data)
{
	struct nftnl_expr_iter *h = nftnl_expr_iter_create(have);
	struct nftnl_expr_iter *w = nftnl_expr_iter_create(want);
	bool equal = h && w;

	while (equal) {
		struct nftnl_expr *he = nftnl_expr_iter_next(h), *we = nftnl_expr_iter_next(w);

		if (!he && !we)
			break;
		equal = he && we && expr_equal(he, we, set_ok, data);
	}
	if (h)
		nftnl_expr_iter_destroy(h);
	if (w)
		nftnl_expr_iter_destroy(w);
	return equal;
}

/* The comment must be the only user data: length of the text with its NUL, or 0. */
static size_t read_comment(struct nftnl_rule *have, char ret[static NFT_RULE_LINE_MAX + 1])
{
	uint32_t len = 0;
	const uint8_t *u = nftnl_rule_get_data(have, NFTNL_RULE_USERDATA, &len);

	/* Type, length, text, NUL; nft writes it as well when it loads what it listed. */
	if (!u || len < 3 || u[0] != NFTNL_UDATA_RULE_COMMENT || u[1] != len - 2)
		return 0;
	len -= 2;
	if (len > NFT_RULE_LINE_MAX + 1 || memchr(u + 2, 0, len) != u + 2 + len - 1)
		return 0;
	memcpy(ret, u + 2, len);
	return len;
}

void nft_expr_line(struct nftnl_rule *have, nft_expr_set_fn set_ok, void *data,
		   char ret_line[static NFT_RULE_LINE_MAX + 1])
{
	struct nftnl_rule *want = nftnl_rule_alloc();
	struct nft_rule rule;

	if (!want || !read_comment(have, ret_line) || nft_rule_parse(ret_line, &rule) != 0 ||
	    nft_expr_encode(&rule, 0, want) != 0 || !exprs_equal(have, want, set_ok, data))
		strcpy(ret_line, NFT_EXPR_ALIEN);
	if (want)
		nftnl_rule_free(want);
}
