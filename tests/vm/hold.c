/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hold: keeps those branches of the kernel patched in that comings and goings of tunnels and pings
 * patch in and out: time stamps of packets, encapsulation sockets, sockets that may use reserves.
 *
 * QEMU before 8.1 translates code while another of its CPUs writes it ("accel/tcg: Always lock
 * pages before translation"), and may so keep the breakpoint that is there during a patch: the
 * kernel dies of "Oops: int3" far from anything under test. Real machines do not. What is patched
 * in stays as code is while any tunnel is up, so nothing else is hidden.
 *
 * Holds them until it is killed; /sys/block/nbd0/pid is there when all are held.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <linux/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void hold_stamps(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)) != 0)
		err(1, "time stamps");
}

static void hold_encapsulation(int family)
{
	int fd = socket(family, SOCK_DGRAM, 0), type = UDP_ENCAP_ESPINUDP;

	if (fd < 0 || setsockopt(fd, IPPROTO_UDP, UDP_ENCAP, &type, sizeof(type)) != 0)
		err(1, "an encapsulation socket");
}

/* A network block device's socket may use the memory reserves, as WireGuard's may. Blocks. */
static void hold_reserves(const char *device)
{
	int fd = open(device, O_RDWR), pair[2];

	if (fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 ||
	    ioctl(fd, NBD_SET_SOCK, pair[0]) != 0 || ioctl(fd, NBD_DO_IT) != 0)
		err(1, "%s", device);
}

int main(void)
{
	hold_stamps();
	hold_encapsulation(AF_INET);
	hold_encapsulation(AF_INET6);
	hold_reserves("/dev/nbd0");
}
