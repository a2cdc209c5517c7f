// SPDX-License-Identifier: GPL-2.0-only
/*
 * DOC: the cryptography of WireGuard, alone. On loading, a packet is encrypted and decrypted many
 * times with the kernel's own ChaCha20-Poly1305, by the calls and in the context (softirqs off) of
 * the WireGuard module; what one packet took is left in parameters, and the module does nothing
 * more. Only for the benchmark, which takes it for the floor no tunnel can be cheaper than: one
 * buffer in one piece, one key, all of it in the cache.
 */
#include <crypto/chacha20poly1305.h>
#include <linux/bottom_half.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
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
	struct scatterlist sg;
	u64 start, middle;
	bool good;

	local_bh_disable();
	sg_init_one(&sg, packet, bytes + CHACHA20POLY1305_AUTHTAG_SIZE);
	start = ktime_get_ns();
	good = chacha20poly1305_encrypt_sg_inplace(&sg, bytes, NULL, 0, nonce, key);
	middle = ktime_get_ns();
	good = good && chacha20poly1305_decrypt_sg_inplace(
			       &sg, bytes + CHACHA20POLY1305_AUTHTAG_SIZE, NULL, 0, nonce, key);
	decrypt_ns += ktime_get_ns() - middle;
	encrypt_ns += middle - start;
	local_bh_enable();
	return good;
}

static int __init floor_init(void)
{
	u8 key[CHACHA20POLY1305_KEY_SIZE];
	u8 *packet;
	unsigned int i;
	int r = 0;

	if (!bytes || bytes > 65535 || !packets)
		return -EINVAL;
	packet = kzalloc(bytes + CHACHA20POLY1305_AUTHTAG_SIZE, GFP_KERNEL);
	if (!packet)
		return -ENOMEM;
	get_random_bytes(key, sizeof(key));
	encrypt_ns = 0;
	decrypt_ns = 0;
	for (i = 0; i < packets && !r; i++)
		if (!crypt(packet, i, key))
			r = -EBADMSG;
	kfree(packet);
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
