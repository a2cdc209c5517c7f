/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Rules of nf_tables as lines of text, both ways. It knows nothing of how the kernel holds
 * them: that is nft_expr.c. Invariant: a line that is parsed prints as the same line, so that a
 * rule's comment and the wanted line can be compared as strings.
 */
#include "nft_rule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static char family_digit(const struct nft_rule *r)
{
	return r->family == AF_INET6 ? '6' : '4';
}

void nft_rule_print(const struct nft_rule *r, struct text *out)
{
	switch (r->kind) {
	case NFT_RULE_OUTER:
		text_printf(out, "outer mark=0x%x mask=0x%x", r->mark, r->mask);
		break;
	case NFT_RULE_NETS:
		text_printf(out, "nets%c map=%s", family_digit(r), r->target);
		break;
	case NFT_RULE_FRAG:
		text_printf(out, "frag%c goto=%s", family_digit(r), r->target);
		break;
	case NFT_RULE_PORTS:
		text_printf(out, "ports goto=%s", r->target);
		break;
	case NFT_RULE_HASH:
		text_printf(out, "hash%c %s seed=0x%x swap=%d map=%s", family_digit(r),
			    r->ports ? "ports" : "addrs", r->seed, r->swap, r->target);
		break;
	case NFT_RULE_GOTO:
		text_printf(out, "goto=%s", r->target);
		break;
	case NFT_RULE_MARK:
		text_printf(out, "mark set=0x%x mask=0x%x", r->mark, r->mask);
		break;
	case NFT_RULE_OIF_PREFIX:
		text_printf(out, "oif prefix=%s accept", r->target);
		break;
	case NFT_RULE_OIF_LO:
		text_printf(out, "oif lo accept");
		break;
	case NFT_RULE_DROP:
		text_printf(out, "drop%c set=%s", family_digit(r), r->target);
		break;
	case NFT_RULE_MSS:
		text_printf(out, "mss %s prefix=%s", r->iif ? "iif" : "oif", r->target);
		break;
	}
}

static bool is_goto(const char *line, struct nft_rule *r)
{
	char digit;

	if (sscanf(line, "frag%c goto=%79s", &digit, r->target) == 2) {
		r->kind = NFT_RULE_FRAG;
		r->family = digit == '6' ? AF_INET6 : AF_INET;
		return true;
	}
	r->kind = NFT_RULE_PORTS;
	if (sscanf(line, "ports goto=%79s", r->target) == 1)
		return true;
	r->kind = NFT_RULE_GOTO;
	return sscanf(line, "goto=%79s", r->target) == 1;
}

static bool is_lookup(const char *line, struct nft_rule *r)
{
	char digit, fields[6];
	int swap;

	if (sscanf(line, "nets%c map=%79s", &digit, r->target) == 2) {
		r->kind = NFT_RULE_NETS;
	} else if (sscanf(line, "drop%c set=%79s", &digit, r->target) == 2) {
		r->kind = NFT_RULE_DROP;
	} else if (sscanf(line, "hash%c %5s seed=%x swap=%d map=%79s", &digit, fields, &r->seed,
			  &swap, r->target) == 5) {
		r->kind = NFT_RULE_HASH;
		r->ports = strcmp(fields, "ports") == 0;
		r->swap = swap == 1;
	} else {
		return false;
	}
	r->family = digit == '6' ? AF_INET6 : AF_INET;
	return true;
}

static bool is_mark(const char *line, struct nft_rule *r)
{
	r->kind = NFT_RULE_OUTER;
	if (sscanf(line, "outer mark=%x mask=%x", &r->mark, &r->mask) == 2)
		return true;
	r->kind = NFT_RULE_MARK;
	return sscanf(line, "mark set=%x mask=%x", &r->mark, &r->mask) == 2;
}

static bool is_device(const char *line, struct nft_rule *r)
{
	r->kind = NFT_RULE_OIF_LO;
	if (strcmp(line, "oif lo accept") == 0)
		return true;
	r->kind = NFT_RULE_OIF_PREFIX;
	if (sscanf(line, "oif prefix=%15s accept", r->target) == 1)
		return true;
	r->kind = NFT_RULE_MSS;
	r->iif = strncmp(line, "mss iif", 7) == 0;
	return sscanf(line, r->iif ? "mss iif prefix=%15s" : "mss oif prefix=%15s", r->target) == 1;
}

int nft_rule_parse(const char *line, struct nft_rule *ret)
{
	bool (*const forms[])(const char *line, struct nft_rule *r) = {is_goto, is_lookup, is_mark,
								       is_device};
	struct text again = {0};
	bool same = false;

	if (strlen(line) > NFT_RULE_LINE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && !same; i++) {
		struct nft_rule r = {0};

		if (!forms[i](line, &r))
			continue;
		/* scanf is lenient with blanks, signs and overflow; the comparison is not. */
		text_reset(&again);
		nft_rule_print(&r, &again);
		same = strcmp(text_str(&again), line) == 0;
		if (same)
			*ret = r;
	}
	text_done(&again);
	return same ? 0 : -EINVAL;
}
