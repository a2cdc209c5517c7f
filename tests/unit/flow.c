/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: tests of flow.c against lookup3's own vectors and against buckets that a kernel chose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flow.h"
#include "model.h"

static const struct {
	uint32_t seed;
	bool swap;
	const char *src, *dst;
	uint8_t proto;
	uint16_t sport, dport;
	unsigned int bucket;
} recorded[] = {
	/*
	 * Packets sent through a veth to rules `meta mark set jhash ip saddr . ip daddr [. th sport
	 * . th dport] mod 1024 seed S` in a prerouting chain (swapped: daddr . saddr . dport .
	 * sport) of Linux 6.18, which noted addresses, ports and mark in a set: 20 of the 2,381
	 * that were compared, all equal.
	 */
	/* clang-format off */
	{0x12345678, false, "89.98.36.156", "212.141.103.22", IPPROTO_UDP, 24169, 65103, 22},
	{0x12345678, false, "208.205.188.161", "92.45.22.208", IPPROTO_UDP, 16653, 18040, 351},
	{0x12345678, false, "111.19.26.191", "42.7.205.140", IPPROTO_UDP, 3269, 62662, 685},
	{0x12345678, false, "2001:a781:b165:9de6:8cb3:d711:6d31:86ee", "fdee:aa69:9277:5177:76a3:aff7:aeaf:4647", IPPROTO_UDP, 31020, 6105, 36},
	{0x12345678, false, "2001:33c0:5098:3df8:6eaf:53e5:9cea:6d6f", "fd70:d7a0:3fea:21b:c6e5:f4d0:dfc5:5222", IPPROTO_UDP, 54559, 24927, 319},
	{0x12345678, false, "2001:1996:3e87:318a:2f7:293c:8fc5:1c90", "fdad:7a02:71a:d1f1:5a5:69c7:868b:a6a5", IPPROTO_UDP, 33447, 14819, 702},
	{0x12345678, false, "143.236.62.179", "106.7.53.203", IPPROTO_ESP, 0, 0, 29},
	{0x12345678, false, "101.6.142.149", "48.213.45.131", IPPROTO_ICMP, 0, 0, 574},
	{0x12345678, false, "2001:8e2d:4a15:771c:889b:560a:43f0:ae82", "fdf9:7a83:3c2c:6625:6cbb:e277:8f1b:a0c2", IPPROTO_GRE, 0, 0, 36},
	{0x12345678, false, "2001:dd51:2e65:6d29:c630:8544:dcdc:bfe8", "fdf5:d405:5d34:b1ec:47c1:dc29:4df9:7922", IPPROTO_ESP, 0, 0, 497},
	{0xfedcba98, true, "136.50.216.105", "123.28.153.69", IPPROTO_UDP, 13289, 15178, 21},
	{0xfedcba98, true, "161.121.103.91", "174.93.167.136", IPPROTO_UDP, 6305, 18840, 347},
	{0xfedcba98, true, "62.190.251.129", "54.82.110.115", IPPROTO_UDP, 3885, 31608, 667},
	{0xfedcba98, true, "2001:2a9a:b8f6:7d52:64d3:a76a:b1d7:fc03", "fdcf:cfc1:3794:455a:a9dc:38b4:bd3c:9c2a", IPPROTO_UDP, 32704, 42324, 12},
	{0xfedcba98, true, "2001:1ce:966b:bd35:c927:f12e:2556:3446", "fd79:39c4:cd83:3753:2129:187d:8fd0:2fd8", IPPROTO_UDP, 22499, 57479, 329},
	{0xfedcba98, true, "2001:199b:ce16:12c0:a642:3a92:1087:6b76", "fd9b:f1a4:2442:8026:1e25:4f8a:b7c8:73a9", IPPROTO_UDP, 37874, 9354, 686},
	{0xfedcba98, true, "120.81.136.22", "109.192.219.96", IPPROTO_GRE, 0, 0, 29},
	{0xfedcba98, true, "104.99.22.129", "63.65.210.163", IPPROTO_GRE, 0, 0, 543},
	{0xfedcba98, true, "2001:bb78:d43e:d119:ecff:4aea:98b:4fad", "fd88:ae6c:e3fe:d52:4203:1f0f:eb4a:2742", IPPROTO_GRE, 0, 0, 50},
	{0xfedcba98, true, "2001:77e9:4bb2:8127:9b28:57e4:6a5:2279", "fdb1:9ddd:9e7a:deb1:5f91:52ec:3c25:8846", IPPROTO_ICMPV6, 0, 0, 559},
	/* clang-format on */
};

static struct flow flow_of(size_t i)
{
	struct flow f = {
		.proto = recorded[i].proto, .sport = recorded[i].sport, .dport = recorded[i].dport};

	assert_int_equal(addr_parse(recorded[i].src, &f.src), 0);
	assert_int_equal(addr_parse(recorded[i].dst, &f.dst), 0);
	return f;
}

static struct flow reversed(const struct flow *f)
{
	return (struct flow){.src = f->dst,
			     .dst = f->src,
			     .proto = f->proto,
			     .sport = f->dport,
			     .dport = f->sport};
}

/* From the comments and driver of lookup3.c, Bob Jenkins, 2006, public domain. */
static void jhash_is_lookup3(void **state)
{
	static const char text[] = "Four score and seven years ago";

	assert_int_equal(flow_jhash("", 0, 0), 0xdeadbeef);
	assert_int_equal(flow_jhash("", 0, 0xdeadbeef), 0xbd5b7dde);
	assert_int_equal(flow_jhash(text, 30, 0), 0x17770551);
	assert_int_equal(flow_jhash(text, 30, 1), 0xcd628161);
}

/* Full blocks: the same kernel's jhash of 12 and 24 bytes `mod 1073741824`, that is its top bits.
 */
static void jhash_of_whole_blocks(void **state)
{
	static const uint8_t one[12] = {192, 0, 2, 1, 198, 51, 100, 7, 1000 >> 8, 1000 & 255};
	static const uint8_t two[24] = {0x20,	    0x01, 0x0d, 0xb8,	   [15] = 1,  1000 >> 8,
					1000 & 255, 0,	  0,	2000 >> 8, 2000 & 255};

	assert_int_equal(flow_jhash(one, sizeof(one), 0x5eed) >> 2, 0x37bb9c41);
	assert_int_equal(flow_jhash(two, sizeof(two), 0x5eed) >> 2, 0x20940e11);
}

static void jhash_does_not_read_past_its_key(void **state)
{
	for (uint32_t len = 0; len <= 64; len++) {
		uint8_t *tight = malloc(len + 1), wide[80];
		uint32_t h;

		memset(wide, 0xff, sizeof(wide));
		for (uint32_t i = 0; i < len; i++)
			tight[i] = wide[i] = i * 37 + 1;
		tight[len] = 0;
		h = flow_jhash(tight, len, 7);
		assert_int_equal(flow_jhash(wide, len, 7), h);
		free(tight);
	}
}

static void bucket_is_the_kernels(void **state)
{
	for (size_t i = 0; i < sizeof(recorded) / sizeof(recorded[0]); i++) {
		struct flow f = flow_of(i);

		assert_int_equal(flow_bucket(&f, recorded[i].seed, recorded[i].swap),
				 recorded[i].bucket);
	}
}

static void both_directions_share_a_bucket(void **state)
{
	for (size_t i = 0; i < sizeof(recorded) / sizeof(recorded[0]); i++) {
		struct flow f = flow_of(i), r = reversed(&f);

		assert_int_equal(flow_bucket(&r, recorded[i].seed, !recorded[i].swap),
				 recorded[i].bucket);
		assert_int_not_equal(flow_bucket(&r, recorded[i].seed, recorded[i].swap),
				     recorded[i].bucket);
	}
}

static void ports_count_only_where_there_are_ports(void **state)
{
	static const uint8_t with[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_SCTP,
				       IPPROTO_DCCP};
	unsigned int n = 0;
	struct flow f = flow_of(0), other, portless;

	for (unsigned int proto = 0; proto < 256; proto++)
		n += flow_has_ports(proto);
	assert_int_equal(n, sizeof(with));

	for (size_t i = 0; i < sizeof(with); i++) {
		assert_true(flow_has_ports(with[i]));
		f.proto = with[i];
		assert_int_equal(flow_bucket(&f, recorded[0].seed, recorded[0].swap),
				 recorded[0].bucket);
	}
	f.proto = 0;
	other = f;
	other.sport++;
	portless = f;
	portless.proto = IPPROTO_GRE;
	assert_int_equal(flow_bucket(&f, 1, false), flow_bucket(&other, 1, false));
	assert_int_equal(flow_bucket(&f, 1, false), flow_bucket(&portless, 1, false));
}

static void many_flows_fill_all_buckets(void **state)
{
	static unsigned int hits[MODEL_BUCKETS];
	struct flow f = flow_of(0);
	unsigned int b, least = 65536, most = 0;

	f.proto = IPPROTO_TCP;
	for (unsigned int port = 0; port < 65536; port++) {
		f.sport = port;
		b = flow_bucket(&f, 0xabcdef01, false);
		assert_true(b < MODEL_BUCKETS);
		hits[b]++;
	}
	for (b = 0; b < MODEL_BUCKETS; b++) {
		least = hits[b] < least ? hits[b] : least;
		most = hits[b] > most ? hits[b] : most;
	}
	/* Mean 64, standard deviation 8. */
	print_message("65536 ports: %u to %u flows in a bucket, mean 64\n", least, most);
	assert_in_range(least, 64 - 6 * 8, 64);
	assert_in_range(most, 64, 64 + 6 * 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jhash_is_lookup3),
		cmocka_unit_test(jhash_of_whole_blocks),
		cmocka_unit_test(jhash_does_not_read_past_its_key),
		cmocka_unit_test(bucket_is_the_kernels),
		cmocka_unit_test(both_directions_share_a_bucket),
		cmocka_unit_test(ports_count_only_where_there_are_ports),
		cmocka_unit_test(many_flows_fill_all_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
