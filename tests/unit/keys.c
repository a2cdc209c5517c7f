/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: tests of keys.c. The expected values were computed with another implementation (Python's
 * hashlib.blake2b, and X25519 from the pseudo-code of RFC 7748): they are the published test
 * vectors of wgscale's derivations, and a change that needs new ones breaks sites in use.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "keys.h"

#define SEQ_TEXT "wgscale-secret-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define FF_TEXT	 "wgscale-secret-1://////////////////////////////////////////8="

static const struct {
	const char *secret;
	unsigned int lane;
	uint32_t generation;
	const char *private, *public;
} vectors[] = {
	/* clang-format off */
	{SEQ_TEXT, 0, 1u,
	 "387ba2b6a82ee8be790517ae7934c23e4f9dd2c12d84a111b423e92a18f33a50",
	 "ed03e7a09c5b03163929750737975793083de28f4cdb76846188eda04730455a"},
	{SEQ_TEXT, 0, 0u,
	 "482610595e13d67ecbb2828dcfcadaafe6a8aa8073b5f5564e8787628c6b704b",
	 "4a45a46896350f7c1be2b2f4e9740797728d1c2e73632f6d9b6bed6308078566"},
	{SEQ_TEXT, 1, 1u,
	 "609c9172fb96b1645e770ff26910d0f1b0ae9ba55e73885675e5fe86fe4b895c",
	 "8aaa8e703292e1492deff5459e3b8b67424ddccea96e8529769cc5d3ade2b341"},
	{SEQ_TEXT, 0, 2u,
	 "70c082a41e34989cbfdf764e500e40bace4687ba63808b07cbc559f8ec67ef76",
	 "bcfa17b64b6a1dab73e73d5430b99b0d869eb9e10bb9cba8e4ea904986918a61"},
	{SEQ_TEXT, 63, 1u,
	 "901d6eb2c32061c039114ab5d1d8ae0fcaed96eae67df7b851fb18256971706e",
	 "3e8a820a8f78f105693ddd21ef5cdc94a47e5ef52762b3c30f45f04963bb4363"},
	{SEQ_TEXT, 7, 4294967295u,
	 "f0d7821eefdd3fd6fb1cc6cfd273a75131b44d37ad16474dddd4ed70142eda62",
	 "4dff2bdd812d296a3fab3eb961b1ce7c47c0f77eb90c177a021876a1d07fca16"},
	{FF_TEXT, 0, 1u,
	 "786946242c4685490dd6bfba0bb18254b908c14fa57dcb800534597498287e6e",
	 "232d76e9bd78549143c0a036b697d2591444b304a590449e4a9397f2a0b1fd14"},
	{FF_TEXT, 0, 0u,
	 "c86719f1edcaccc394545915fff194dafd105090be5b9d54b81af395e5e3c360",
	 "097a21f6821eea016ebef26fb95fb9127d7da364f6abf2a4ed4727fc4f7b8865"},
	{FF_TEXT, 1, 1u,
	 "b0262f9198b9201e3635b35d50c9df6e131428ed234df25e5139e96b27395041",
	 "dd069704c2c4c3ad9840d70f6ced4846b803355ef567ce2456c1143f4f022d0f"},
	{FF_TEXT, 0, 2u,
	 "90a703e665f41adcad9dff054e4e9e9dbb0bed4b0bdfdcad7042c6c788290f6e",
	 "26e0a0366dd105cc3ff4eca600602cdc651f4aef317a4f81a8f817ef02ea2613"},
	{FF_TEXT, 63, 1u,
	 "08c0fbe53196ca612a4ae16a9e570b7ef4840afb11f0bffb6c5abac5ccb23844",
	 "6baff73d631132db4f1d01d4e28b33ea7d62a444993f6c6b71f10eb162237d6a"},
	{FF_TEXT, 7, 4294967295u,
	 "7890e03466e536428c74fc89e97e85c149c0057db8ccb4aff31e4d862225d972",
	 "f882a605fcb40146d754e1153513ee815561733f225d06dd86f6e63e5fd5887f"},
	/* clang-format on */
};

/* RFC 7748, 6.1 */
#define ALICE_PRIVATE "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
#define ALICE_PUBLIC  "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define BOB_PRIVATE   "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
#define BOB_PUBLIC    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"

static struct key unhex(const char *s)
{
	struct key k;
	unsigned int byte;

	for (size_t i = 0; i < sizeof(k.b); i++) {
		assert_int_equal(sscanf(s + 2 * i, "%2x", &byte), 1);
		k.b[i] = byte;
	}
	return k;
}

static void assert_key(const struct key *k, const char *hex)
{
	struct key want = unhex(hex);

	assert_memory_equal(k->b, want.b, sizeof(k->b));
}

static struct secret secret_of(const char *text)
{
	struct secret s;
	const char *why;

	assert_int_equal(keys_parse_secret(text, &s, &why), 0);
	return s;
}

static void lanes_as_published(void **state)
{
	struct key private, public;

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct secret s = secret_of(vectors[i].secret);

		keys_lane(&s, vectors[i].lane, vectors[i].generation, &private, &public);
		assert_key(&private, vectors[i].private);
		assert_key(&public, vectors[i].public);
	}
}

static void public_keys_of_rfc7748(void **state)
{
	struct key alice = unhex(ALICE_PRIVATE), bob = unhex(BOB_PRIVATE), public;

	keys_public(&alice, &public);
	assert_key(&public, ALICE_PUBLIC);
	keys_public(&bob, &public);
	assert_key(&public, BOB_PUBLIC);
}

static void probe_as_published(void **state)
{
	static const uint8_t want[16] = {0xfe, 0x80, 0,	   0,	 0,    0,    0,	   0,
					 0xec, 0x43, 0xae, 0xf8, 0x71, 0xba, 0x4b, 0xd5};
	struct key public = unhex(vectors[0].public);
	struct ipaddr a;

	keys_probe(&public, &a);
	assert_int_equal(a.family, AF_INET6);
	assert_memory_equal(a.b, want, sizeof(want));
}

static void seed_as_published_and_alike_at_both_ends(void **state)
{
	struct key alice = unhex(ALICE_PRIVATE), bob = unhex(BOB_PRIVATE);
	struct key alice_public = unhex(ALICE_PUBLIC), bob_public = unhex(BOB_PUBLIC);
	uint32_t here, there;

	assert_int_equal(keys_seed(&alice, &bob_public, "turin", "milan", &here), 0);
	assert_int_equal(keys_seed(&bob, &alice_public, "milan", "turin", &there), 0);
	assert_int_equal(here, 0xdf330ab7);
	assert_int_equal(there, here);

	/* Where one id ends and the other begins matters, and so does which is whose. */
	assert_int_equal(keys_seed(&alice, &bob_public, "ab", "c", &here), 0);
	assert_int_equal(keys_seed(&alice, &bob_public, "a", "bc", &there), 0);
	assert_int_not_equal(there, here);
	assert_int_equal(keys_seed(&alice, &bob_public, "turin", "lyon", &there), 0);
	assert_int_not_equal(there, here);
}

static void seed_refuses_low_order_keys(void **state)
{
	struct key alice = unhex(ALICE_PRIVATE), zero = {0}, one = {.b = {1}};
	struct key eight =
		unhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
	uint32_t seed = 42;

	assert_int_equal(keys_seed(&alice, &zero, "a", "b", &seed), -EKEYREJECTED);
	assert_int_equal(keys_seed(&alice, &one, "a", "b", &seed), -EKEYREJECTED);
	assert_int_equal(keys_seed(&alice, &eight, "a", "b", &seed), -EKEYREJECTED);
	assert_int_equal(seed, 42);
}

static void hash_as_published(void **state)
{
	assert_int_equal(keys_hash64("wgstest", "abc", 3), 0xb1e87d67839fad90);
	assert_int_equal(keys_hash64("wgstest-16-bytes", "", 0), 0x321c140728f6402f);
	/* The first two outputs of SplitMix64 from state 0 are the mixes of 1 and 2. */
	assert_int_equal(keys_mix64(1), 0xe220a8397b1dcdaf);
	assert_int_equal(keys_mix64(2), 0x6e789e6aa1b965f4);
}

static void generated_secrets_parse_and_differ(void **state)
{
	char one[80], two[80];
	struct secret a, b;

	keys_generate(one);
	keys_generate(two);
	assert_int_equal(strlen(one), strlen(SEQ_TEXT) + 1);
	assert_int_equal(one[strlen(one) - 1], '\n');
	a = secret_of(one);
	b = secret_of(two);
	assert_memory_not_equal(&a, &b, sizeof(a));
	keys_wipe(&a, sizeof(a));
	assert_true(key_is_zero(&a.k));
}

static void secret_text_is_strict(void **state)
{
	static const struct {
		const char *text, *why; /* a part of the explanation; NULL: valid */
	} cases[] = {
		{SEQ_TEXT, NULL},
		{SEQ_TEXT "\n", NULL},
		{SEQ_TEXT " \r\n\n", NULL},
		{"\n" SEQ_TEXT, NULL},
		{"", "empty"},
		{" \n", "empty"},
		{"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
		 "this is a WireGuard private key, not a wgscale secret; make one with wgscalectl "
		 "keygen"},
		{"wgscale-secret-2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "version"},
		{"wgscale-secret-11:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "version"},
		{"wgscale-secret-:AAEC", "begins with"},
		{"wgscale-secret-1", "begins with wgscale-secret-1:"},
		{"Wgscale-secret-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "begins with"},
		{"[Interface]\nPrivateKey = x\n", "begins with"},
		{"wgscale-secret-1:", "too short"},
		{"wgscale-secret-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n", "too short"},
		{"wgscale-secret-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "base64"},
		{"wgscale-secret-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", "base64"},
		{"wgscale-secret-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", "base64"},
		{"wgscale-secret-1:AAECAwQFBgcICQoLDA0O-xAREhMUFRYXGBkaGxwdHh8=", "base64"},
		{SEQ_TEXT "=", "too long"},
		{SEQ_TEXT "A", "too long"},
		{SEQ_TEXT "\n# note\n", "after the key"},
		{SEQ_TEXT "\n" SEQ_TEXT "\n", "after the key"},
		{"wgscale-secret-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "all zero"},
	};
	struct secret s;
	const char *why;
	int r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&s, 0x55, sizeof(s));
		why = NULL;
		r = keys_parse_secret(cases[i].text, &s, &why);
		if (!cases[i].why) {
			assert_int_equal(r, 0);
			for (size_t j = 0; j < sizeof(s.k.b); j++)
				assert_int_equal(s.k.b[j], j);
			continue;
		}
		assert_int_equal(r, -EINVAL);
		assert_true(key_is_zero(&s.k));
		assert_non_null(why);
		if (!strstr(why, cases[i].why))
			fail_msg("case %zu: \"%s\" lacks \"%s\"", i, why, cases[i].why);
	}
}

static void secret_cut_anywhere_is_refused(void **state)
{
	char text[] = SEQ_TEXT;
	struct secret s;
	const char *why;

	for (size_t n = strlen(text); n-- > 0;) {
		text[n] = '\0';
		assert_int_equal(keys_parse_secret(text, &s, &why), -EINVAL);
		/* No explanation quotes key material. */
		assert_null(strstr(why, "AAEC"));
	}
}

static void preshared_keys(void **state)
{
	struct key k;
	const char *why;

	assert_int_equal(keys_parse_psk("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", &k, &why),
			 0);
	assert_int_equal(k.b[31], 31);
	assert_int_equal(keys_parse_psk(SEQ_TEXT "\n", &k, &why), -EINVAL);
	assert_non_null(strstr(why, "wgscale secret"));
	assert_true(key_is_zero(&k));
	assert_int_equal(keys_parse_psk("\n", &k, &why), -EINVAL);
	assert_non_null(strstr(why, "empty"));
	/* To WireGuard this means no preshared key at all. */
	assert_int_equal(keys_parse_psk("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", &k, &why),
			 -EINVAL);
	assert_non_null(strstr(why, "all zero"));
	assert_int_equal(keys_parse_psk("AAECAwQFBgcICQoLDA0O\n", &k, &why), -EINVAL);
	assert_non_null(strstr(why, "too short"));
}

static int start(void **state)
{
	return keys_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lanes_as_published),
		cmocka_unit_test(public_keys_of_rfc7748),
		cmocka_unit_test(probe_as_published),
		cmocka_unit_test(seed_as_published_and_alike_at_both_ends),
		cmocka_unit_test(seed_refuses_low_order_keys),
		cmocka_unit_test(hash_as_published),
		cmocka_unit_test(generated_secrets_parse_and_differ),
		cmocka_unit_test(secret_text_is_strict),
		cmocka_unit_test(secret_cut_anywhere_is_refused),
		cmocka_unit_test(preshared_keys),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
