// SPDX-License-Identifier: GPL-2.0-only
/*
 * DOC: the cryptography of WireGuard, alone. On loading, a packet is encrypted and decrypted many
 * times by the module's own aead.c, in the context of inline work (softirqs off); what one packet
 * took is left in parameters, and the module does nothing more. Only for the benchmark, which takes
 * it for the floor no tunnel can be cheaper than: one buffer, one key, all of it in the cache.
 */
#include "aead.h"

#include <crypto/chacha20poly1305.h>
#include <linux/bottom_half.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>

static unsigned int bytes = 1420;
module_param(bytes, uint, 0444);
MODULE_PARM_DESC(bytes, "length of the packet, without header and tag");

static unsigned int packets = 2000;
module_param(packets, uint, 0444);
MODULE_PARM_DESC(packets, "how many, each of them both encrypted and decrypted");

static unsigned long long encrypt_ns;
module_param(encrypt_ns, ullong, 0444);
MODULE_PARM_DESC(encrypt_ns, "result: of one packet");

static unsigned long long decrypt_ns;
module_param(decrypt_ns, ullong, 0444);
MODULE_PARM_DESC(decrypt_ns, "result: of one packet");

/* One packet, there and back; adds to the results. */
static bool crypt(u8 *packet, u64 nonce, const u8 *key)
{
	u64 start, middle;
	bool good;

	local_bh_disable();
	start = ktime_get_ns();
	wgs_seal(packet, bytes, nonce, key);
	middle = ktime_get_ns();
	good = wgs_open(packet, bytes + CHACHA20POLY1305_AUTHTAG_SIZE, nonce, key);
	decrypt_ns += ktime_get_ns() - middle;
	encrypt_ns += middle - start;
	local_bh_enable();
	return good;
}

static int __init floor_init(void)
{
	u8 key[CHACHA20POLY1305_KEY_SIZE];
	u8 *buffer;
	unsigned int i;
	int r = 0;

	if (!bytes || bytes > 65535 || !packets)
		return -EINVAL;
	buffer = kzalloc(WGS_SEAL_HEADROOM + bytes + CHACHA20POLY1305_AUTHTAG_SIZE, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	get_random_bytes(key, sizeof(key));
	encrypt_ns = 0;
	decrypt_ns = 0;
	for (i = 0; i < packets && !r; i++)
		if (!crypt(buffer + WGS_SEAL_HEADROOM, i, key))
			r = -EBADMSG;
	kfree(buffer);
	encrypt_ns = div_u64(encrypt_ns, packets);
	decrypt_ns = div_u64(decrypt_ns, packets);
	return r;
}

static void __exit floor_exit(void)
{
}

module_init(floor_init);
module_exit(floor_exit);
MODULE_DESCRIPTION("Cost of WireGuard's cryptography, for a benchmark");
MODULE_LICENSE("GPL");
