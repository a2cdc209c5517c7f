/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: commands, those that ask the daemon
 *
 * Owns one function per command: check the arguments, make the call, show the answer, choose the
 * exit code. Decides nothing about tunnels and touches neither files nor kernel; `plan` and `down`
 * hand over to offline.c when no daemon runs.
 *
 * Read next: client.c (the call), render.c (the text), ../daemon/io.wgscale.varlink.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "ctl.h"
#include "render.h"

#define ANSWER_S 10  /* what an answer may take */
#define SETTLE_S 130 /* after a change: the daemon itself gives up after 120 */
#define WAIT_S	 60
#define WATCH_S	 1

typedef void (*render_fn)(const json_t *reply, bool colour, struct text *out);

static bool no_daemon(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

static unsigned int timeout_ms(const struct ctl *ctl, unsigned int own_s)
{
	return (unsigned int)(ctl->timeout_s ? ctl->timeout_s : own_s) * 1000;
}

/* What client_call() returned, told to the user; CTL_FINE: *reply is a good answer. */
static enum ctl_exit explain(const struct ctl *ctl, int r, struct client_reply *reply)
{
	struct text t = {0};
	int code = CTL_FINE;

	if (r < 0)
		code = client_explain(r, ctl->socket, &t);
	else if (reply->error)
		code = client_explain_reply(reply, &t);
	if (code != CTL_FINE)
		ctl_say("%s", text_str(&t));
	if (code != CTL_FINE && r == 0)
		client_reply_done(reply);
	text_done(&t);
	return code;
}

static enum ctl_exit call(const struct ctl *ctl, const char *method, json_t *parameters,
			  unsigned int own_s, struct client_reply *ret)
{
	return explain(ctl,
		       client_call(ctl->socket, method, parameters, timeout_ms(ctl, own_s), ret),
		       ret);
}

static bool peer_ok(const char *id)
{
	if (text_is_site_id(id))
		return true;
	ctl_say("\"%s\" is not the id of a site", id);
	return false;
}

/* ---- reading ---- */

enum ctl_exit commands_status(const struct ctl *ctl)
{
	const char *peer = ctl->n_args ? ctl->args[0] : NULL;
	struct timespec pause = {.tv_sec = WATCH_S};
	struct client_reply reply;
	enum ctl_exit code;

	if (peer && !peer_ok(peer))
		return CTL_USAGE;
	for (;;) {
		code = call(ctl, "io.wgscale.Status",
			    peer ? json_pack("{s:s}", "peer", peer) : NULL, ANSWER_S, &reply);
		if (code == CTL_NO_DAEMON && ctl->watch) { /* an upgrade, a restart */
			nanosleep(&pause, NULL);
			continue;
		}
		if (code != CTL_FINE)
			return code;
		if (ctl->watch && !ctl->json && isatty(STDOUT_FILENO))
			printf("\033[H\033[2J");
		ctl_show(ctl, reply.parameters, peer ? render_peers : render_status);
		client_reply_done(&reply);
		if (!ctl->watch)
			return CTL_FINE;
		if (fflush(stdout) != 0)
			return CTL_FAILED;
		nanosleep(&pause, NULL);
	}
}

enum ctl_exit commands_plan(const struct ctl *ctl)
{
	struct client_reply reply;
	enum ctl_exit code;
	int r;

	if (ctl->file)
		return offline_plan(ctl);
	r = client_call(ctl->socket, "io.wgscale.Plan", NULL, timeout_ms(ctl, ANSWER_S), &reply);
	if (no_daemon(r)) {
		ctl_say("wgscaled is not running: this is what it would do with all tunnels "
			"healthy");
		return offline_plan(ctl);
	}
	code = explain(ctl, r, &reply);
	if (code != CTL_FINE)
		return code;
	ctl_show(ctl, reply.parameters, render_plan);
	client_reply_done(&reply);
	return CTL_FINE;
}

/* 0 and *ret, or -EINVAL, told. */
static int port(const char *s, json_t *parameters, const char *name)
{
	uint64_t v;

	if (text_parse_u64(s, 0, 65535, &v) < 0) {
		ctl_say("\"%s\" is not a port number (0 to 65535)", s);
		return -EINVAL;
	}
	json_object_set_new(parameters, name, json_integer((json_int_t)v));
	return 0;
}

enum ctl_exit commands_where(const struct ctl *ctl)
{
	struct client_reply reply;
	struct ipaddr src, dst;
	enum ctl_exit code;
	json_t *p;

	for (int i = 0; i < 2; i++)
		if (addr_parse(ctl->args[i], i ? &dst : &src) < 0) {
			ctl_say("\"%s\" is not an IP address", ctl->args[i]);
			return CTL_USAGE;
		}
	if (src.family != dst.family) {
		ctl_say("%s and %s are not of one family", ctl->args[0], ctl->args[1]);
		return CTL_USAGE;
	}
	if (ctl->n_args > 2 && !text_is_site_id(ctl->args[2])) {
		ctl_say("\"%s\" is not a protocol (tcp, udp, sctp, icmp, ... or a number)",
			ctl->args[2]);
		return CTL_USAGE;
	}
	if (ctl->n_args == 4) {
		ctl_say("a source port wants a destination port");
		return CTL_USAGE;
	}
	p = json_pack("{s:s, s:s}", "src", ctl->args[0], "dst", ctl->args[1]);
	if (ctl->n_args > 2)
		json_object_set_new(p, "proto", json_string(ctl->args[2]));
	if (ctl->n_args == 5 &&
	    (port(ctl->args[3], p, "sport") < 0 || port(ctl->args[4], p, "dport") < 0)) {
		json_decref(p);
		return CTL_USAGE;
	}
	code = call(ctl, "io.wgscale.Where", p, ANSWER_S, &reply);
	if (code != CTL_FINE)
		return code;
	ctl_show(ctl, reply.parameters, render_where);
	client_reply_done(&reply);
	return CTL_FINE;
}

/* 1 when some tunnel answered nothing: a script wants to know. */
enum ctl_exit commands_ping(const struct ctl *ctl)
{
	unsigned int own_s = ANSWER_S + 2 * (unsigned int)ctl->count;
	struct client_reply reply;
	enum ctl_exit code;
	json_t *p, *all, *t;
	size_t i;

	if (!peer_ok(ctl->args[0]))
		return CTL_USAGE;
	p = json_pack("{s:s}", "peer", ctl->args[0]);
	if (ctl->count)
		json_object_set_new(p, "count", json_integer((json_int_t)ctl->count));
	code = call(ctl, "io.wgscale.Ping", p, own_s, &reply);
	if (code != CTL_FINE)
		return code;
	ctl_show(ctl, reply.parameters, render_ping);
	all = json_object_get(reply.parameters, "tunnels");
	json_array_foreach(all, i, t) if (!json_integer_value(json_object_get(t, "received")))
		code = CTL_FAILED;
	client_reply_done(&reply);
	return code;
}

enum ctl_exit commands_wait(const struct ctl *ctl)
{
	uint64_t s = ctl->timeout_s ? ctl->timeout_s : WAIT_S;
	struct client_reply reply;
	enum ctl_exit code;
	json_t *p;
	int r;

	if (!ctl->state) {
		ctl_say("wait for what? --state settled, up or degraded");
		return CTL_USAGE;
	}
	/* A daemon that is just starting is waited for, too. The daemon keeps the time; ours is for
	 * one that does not. */
	for (;; s--, sleep(1)) {
		p = json_pack("{s:s, s:I}", "state", ctl->state, "timeout_ms",
			      (json_int_t)(s * 1000));
		r = client_call(ctl->socket, "io.wgscale.Wait", p, (unsigned int)(s + 5) * 1000,
				&reply);
		if ((r != -ENOENT && r != -ECONNREFUSED && r != -ECONNRESET) || s <= 1)
			break;
	}
	code = explain(ctl, r, &reply);
	if (code != CTL_FINE)
		return code;
	if (ctl->json)
		ctl_show(ctl, reply.parameters, NULL);
	client_reply_done(&reply);
	return CTL_FINE;
}

enum ctl_exit commands_version(const struct ctl *ctl)
{
	struct client_reply reply;
	struct text t = {0};
	const char *s;

	printf("wgscalectl %s\n", WGSCALE_VERSION);
	if (client_call(ctl->socket, "org.varlink.service.GetInfo", NULL, timeout_ms(ctl, ANSWER_S),
			&reply) < 0)
		return CTL_FINE;
	s = json_string_value(json_object_get(reply.parameters, "version"));
	if (s) {
		render_clean(&t, s, strlen(s), false);
		printf("wgscaled %s\n", text_str(&t));
	}
	text_done(&t);
	client_reply_done(&reply);
	return CTL_FINE;
}

/* ---- changing ---- */

/* Shows the answer to a change and says whether the kernel holds it. */
static enum ctl_exit changed(const struct ctl *ctl, struct client_reply *reply, render_fn render)
{
	bool settled = json_is_true(json_object_get(reply->parameters, "settled"));

	ctl_show(ctl, reply->parameters, render);
	client_reply_done(reply);
	return settled ? CTL_FINE : CTL_DEGRADED;
}

enum ctl_exit commands_reload(const struct ctl *ctl)
{
	struct client_reply reply;
	json_t *p = json_object();
	enum ctl_exit code;

	if (ctl->confirm_s)
		json_object_set_new(p, "confirm_s", json_integer((json_int_t)ctl->confirm_s));
	if (ctl->force)
		json_object_set_new(p, "force", json_true());
	code = call(ctl, "io.wgscale.Reload", p, SETTLE_S, &reply);
	if (code != CTL_FINE)
		return code;
	code = changed(ctl, &reply, render_reload);
	if (ctl->confirm_s && !ctl->json)
		printf("undone in %u s unless you run: wgscalectl confirm\n",
		       (unsigned int)ctl->confirm_s);
	return code;
}

enum ctl_exit commands_confirm(const struct ctl *ctl)
{
	struct client_reply reply;
	enum ctl_exit code = call(ctl, "io.wgscale.Confirm", NULL, ANSWER_S, &reply);

	if (code != CTL_FINE)
		return code;
	if (ctl->json)
		ctl_show(ctl, reply.parameters, NULL);
	else
		printf("confirmed\n");
	client_reply_done(&reply);
	return CTL_FINE;
}

static enum ctl_exit set_traffic(const struct ctl *ctl, const char *traffic)
{
	struct client_reply reply;
	enum ctl_exit code;

	if (!peer_ok(ctl->args[0]))
		return CTL_USAGE;
	code = call(ctl, "io.wgscale.SetTraffic",
		    json_pack("{s:s, s:s}", "peer", ctl->args[0], "traffic", traffic), SETTLE_S,
		    &reply);
	if (code != CTL_FINE)
		return code;
	if (!ctl->json)
		printf("%s is ", ctl->args[0]);
	return changed(ctl, &reply, render_traffic);
}

enum ctl_exit commands_activate(const struct ctl *ctl)
{
	return set_traffic(ctl, "on");
}

enum ctl_exit commands_standby(const struct ctl *ctl)
{
	return set_traffic(ctl, "off");
}

static bool mode_ok(const char *mode)
{
	const char *near = text_nearest(mode, model_mode_words);
	enum mode m;

	if (model_mode_parse(mode, &m) == 0)
		return true;
	ctl_say("\"%s\" is none of auto, inline, vanilla%s%s%s", mode, near ? "; is it \"" : "",
		near ? near : "", near ? "\" you mean?" : "");
	return false;
}

/* "milan", "milan/0" or "wgs3"; which of them there is, the daemon knows. */
static bool target_ok(const char *target)
{
	char id[MODEL_ID_MAX + 1] = "";
	size_t len = strcspn(target, "/");
	uint64_t index;

	if (len < sizeof(id))
		memcpy(id, target, len);
	if (text_is_site_id(id) &&
	    (!target[len] || !text_parse_u64(target + len + 1, 0, MODEL_LANES_MAX - 1, &index)))
		return true;
	ctl_say("\"%s\" is neither a peer, nor a tunnel (PEER/INDEX), nor a lane (wgs0, wgs1, ...)",
		target);
	return false;
}

/* What cannot be as asked is kept for when it can, and told by the exit code. */
enum ctl_exit commands_mode(const struct ctl *ctl)
{
	struct client_reply reply;
	enum ctl_exit code;
	bool all;

	if (!target_ok(ctl->args[0]) || !mode_ok(ctl->args[1]))
		return CTL_USAGE;
	code = call(ctl, "io.wgscale.SetMode",
		    json_pack("{s:s, s:s}", "target", ctl->args[0], "mode", ctl->args[1]), SETTLE_S,
		    &reply);
	if (code != CTL_FINE)
		return code;
	all = !json_is_string(json_object_get(reply.parameters, "why"));
	code = changed(ctl, &reply, render_mode);
	return all ? code : CTL_DEGRADED;
}

enum ctl_exit commands_down(const struct ctl *ctl)
{
	struct client_reply reply;
	struct text t = {0};
	enum ctl_exit code;
	bool go;
	int r = client_call(ctl->socket, "io.wgscale.Status", NULL, timeout_ms(ctl, ANSWER_S),
			    &reply);

	if (no_daemon(r))
		return offline_down(ctl);
	code = explain(ctl, r, &reply);
	if (code != CTL_FINE)
		return code;
	render_exposed(reply.parameters, false, &t);
	client_reply_done(&reply);
	go = ctl_ask(ctl, text_str(&t));
	text_done(&t);
	if (!go)
		return CTL_FAILED;
	code = call(ctl, "io.wgscale.Down", NULL, SETTLE_S, &reply);
	return code != CTL_FINE ? code : changed(ctl, &reply, render_down);
}
