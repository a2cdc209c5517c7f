/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: the receive hash against the published vectors ("Verifying the RSS Hash Calculation").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "toeplitz.h"

static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
				0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
				0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
				0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static const struct vector {
	const char *dst;
	uint16_t dport;
	const char *src;
	uint16_t sport;
	uint32_t addresses, ports; /* the hash without and with ports */
} vectors[] = {
	{"161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178},
	{"65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea},
	{"12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a},
	{"209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f},
	{"202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2},
	{"3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d},
	{"ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf},
	{"fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251,
	 0x4b61e985, 0x02d1feef},
};

static void test_published(void **state)
{
	const struct vector *v;

	for (v = vectors; v < vectors + sizeof(vectors) / sizeof(vectors[0]); v++) {
		struct ipaddr src, dst;
		uint8_t in[32];
		size_t n;

		assert_int_equal(addr_parse(v->src, &src), 0);
		assert_int_equal(addr_parse(v->dst, &dst), 0);
		n = addr_bytes(src.family);
		memcpy(in, src.b, n);
		memcpy(in + n, dst.b, n);
		assert_int_equal(toeplitz_hash(key, sizeof(key), in, 2 * n), v->addresses);
		assert_int_equal(toeplitz_flow(key, sizeof(key), &src, &dst, v->sport, v->dport),
				 v->ports);
	}
}

static void test_single_bits(void **state)
{
	uint8_t in[36];
	unsigned int i, j;

	/* The hash of one bit is the 32 key bits that begin there. */
	for (i = 0; i < 8 * sizeof(in); i++) {
		uint32_t want = 0;

		memset(in, 0, sizeof(in));
		in[i / 8] = (uint8_t)(0x80 >> i % 8);
		for (j = i; j < i + 32; j++)
			want = want << 1 | (key[j / 8] >> (7 - j % 8) & 1);
		assert_int_equal(toeplitz_hash(key, sizeof(key), in, sizeof(in)), want);
	}
}

static void test_key_lengths(void **state)
{
	uint8_t longer[52] = {0}, in[36];

	memset(in, 0xa5, sizeof(in));
	memcpy(longer, key, sizeof(key));
	memset(longer + sizeof(key), 0xff, sizeof(longer) - sizeof(key));
	assert_int_equal(toeplitz_hash(longer, sizeof(longer), in, sizeof(in)),
			 toeplitz_hash(key, sizeof(key), in, sizeof(in)));
	memset(longer + 16, 0, sizeof(longer) - 16);
	assert_int_equal(toeplitz_hash(longer, sizeof(longer), in, sizeof(in)),
			 toeplitz_hash(key, 16, in, sizeof(in)));
	assert_int_equal(toeplitz_hash(key, 0, in, sizeof(in)), 0);
	assert_int_equal(toeplitz_hash(key, sizeof(key), in, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_single_bits),
		cmocka_unit_test(test_key_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
