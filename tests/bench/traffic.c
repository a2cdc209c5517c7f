// SPDX-License-Identifier: GPL-2.0-only
/*
 * DOC: the traffic of the benchmark, and its meter; see net.sh for the network. `traffic FLOWS`
 * connects flow I from 10.1.0.I in namespace "source" to 10.2.0.I in namespace "drain", and then
 * all of them send as fast as they can, until standard input ends. A line "stop" there makes the
 * senders pause and "go" lets them go on; each line "WARM_MS WINDOW_MS" is a window, answered with
 * one line:
 *
 *	MICROSECONDS PACKETS BYTES IDLE_US BUSY_PERMILLE...
 *
 * BYTES is the payload that TCP received in that time, PACKETS in how many segments, IDLE_US the
 *sum of all CPUs, BUSY one number for each. It is one program, and connects before anybody sends,
 * because starting another one while the CPUs are full takes long, and would be in the window.
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX 64
#define CPUS_MAX  64
#define PORT	  5201
#define TICK_US	  10000
#define BUFFER	  (128 * 1024)

struct flow {
	int from, to;
};

struct snapshot {
	uint64_t us, bytes, packets;
	uint64_t idle[CPUS_MAX], busy[CPUS_MAX]; /* ticks */
	int cpus;
};

static struct flow flow[FLOWS_MAX];
static pid_t sender[FLOWS_MAX];
static int flows;
static char buffer[BUFFER];

static void enter(const char *ns)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err(1, "%s", path);
	close(fd);
}

/* A socket bound to that host of 10.NET.0.0/24. */
static int bound(int net, int host, int port, struct sockaddr_in *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	*ret = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(10U << 24 | (uint32_t)net << 16 | (uint32_t)host),
	};
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)ret, sizeof(*ret)))
		err(1, "bind, flow %d", host);
	return fd;
}

static void join(int i)
{
	struct sockaddr_in from, to;
	int listening;

	enter("drain");
	listening = bound(2, i + 1, PORT, &to);
	if (listen(listening, 1))
		err(1, "listen");
	enter("source");
	flow[i].from = bound(1, i + 1, 0, &from);
	if (connect(flow[i].from, (struct sockaddr *)&to, sizeof(to)))
		err(1, "connect, flow %d", i + 1);
	flow[i].to = accept(listening, NULL, NULL);
	if (flow[i].to < 0)
		err(1, "accept, flow %d", i + 1);
	close(listening);
}

static void run_sender(int i)
{
	while (write(flow[i].from, buffer, sizeof(buffer)) > 0)
		;
	err(1, "flow %d", i + 1);
}

static void run_receiver(int i)
{
	while (read(flow[i].to, buffer, sizeof(buffer)) > 0)
		;
	err(1, "flow %d", i + 1);
}

/* A process on the CPU of its flow, that begins when the other end of the gate is closed. */
static pid_t spawn(void (*run)(int), int i, const int gate[2])
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;
	pid_t pid = fork();
	char c;

	if (pid < 0)
		err(1, "fork");
	if (pid)
		return pid;
	CPU_ZERO(&set);
	CPU_SET((size_t)(i % cpus), &set);
	close(gate[1]);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || sched_setaffinity(0, sizeof(set), &set) ||
	    read(gate[0], &c, 1))
		err(1, "flow %d", i + 1);
	run(i);
	exit(1);
}

static void snapshot_cpus(struct snapshot *s)
{
	unsigned long long t[8];
	char line[256];
	FILE *file = fopen("/proc/stat", "re");
	int cpu;

	if (!file)
		err(1, "/proc/stat");
	s->cpus = 0;
	while (fgets(line, sizeof(line), file) && s->cpus < CPUS_MAX) {
		/* "cpu " is the sum of all. */
		if (line[3] == ' ' ||
		    sscanf(line, "cpu%d %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &t[0],
			   &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) != 9)
			continue;
		/* user nice system idle iowait irq softirq steal */
		s->idle[s->cpus] = t[3] + t[4];
		s->busy[s->cpus++] = t[0] + t[1] + t[2] + t[5] + t[6] + t[7];
	}
	fclose(file);
}

/* What has arrived, read or not: a receiver that gets no CPU for a while has megabytes to read. */
static void snapshot_flow(struct snapshot *s, int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size))
		err(1, "TCP_INFO");
	s->bytes += info.tcpi_bytes_received;
	s->packets += info.tcpi_data_segs_in;
}

static void snapshot_take(struct snapshot *s)
{
	struct timespec now;
	int i;

	snapshot_cpus(s);
	clock_gettime(CLOCK_MONOTONIC, &now);
	s->us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	s->bytes = 0;
	s->packets = 0;
	for (i = 0; i < flows; i++)
		snapshot_flow(s, flow[i].to);
}

static void pass_ms(unsigned long ms)
{
	struct timespec left = {.tv_sec = (time_t)(ms / 1000),
				.tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

static void measure(unsigned long warm_ms, unsigned long window_ms)
{
	struct snapshot a, b;
	uint64_t idle = 0;
	int cpu;

	pass_ms(warm_ms);
	snapshot_take(&a);
	pass_ms(window_ms);
	snapshot_take(&b);
	for (cpu = 0; cpu < b.cpus; cpu++) {
		b.idle[cpu] -= a.idle[cpu];
		b.busy[cpu] -= a.busy[cpu];
		idle += b.idle[cpu] * TICK_US;
	}
	if (waitpid(-1, NULL, WNOHANG) > 0)
		errx(1, "a flow died");
	printf("%ju %ju %ju %ju", (uintmax_t)(b.us - a.us), (uintmax_t)(b.packets - a.packets),
	       (uintmax_t)(b.bytes - a.bytes), (uintmax_t)idle);
	for (cpu = 0; cpu < b.cpus; cpu++)
		printf(" %ju",
		       (uintmax_t)(1000 * b.busy[cpu] /
				   (b.busy[cpu] + b.idle[cpu] ? b.busy[cpu] + b.idle[cpu] : 1)));
	printf("\n");
	fflush(stdout);
}

static void signal_senders(int number)
{
	int i;

	for (i = 0; i < flows; i++)
		kill(sender[i], number);
}

static void obey(const char *line)
{
	unsigned long warm_ms, window_ms;

	if (!strcmp(line, "stop\n"))
		signal_senders(SIGSTOP);
	else if (!strcmp(line, "go\n"))
		signal_senders(SIGCONT);
	else if (sscanf(line, "%lu %lu", &warm_ms, &window_ms) == 2)
		measure(warm_ms, window_ms);
	else
		errx(2, "not a window: %s", line);
}

int main(int argc, char *argv[])
{
	char line[64];
	int i, gate[2];

	flows = argc == 2 ? atoi(argv[1]) : 0;
	if (flows < 1 || flows > FLOWS_MAX)
		errx(2, "usage: traffic FLOWS");
	if (pipe(gate))
		err(1, "start");
	for (i = 0; i < flows; i++)
		join(i);
	for (i = 0; i < flows; i++) {
		spawn(run_receiver, i, gate);
		sender[i] = spawn(run_sender, i, gate);
	}
	close(gate[1]);
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	return 0;
}
