/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: offline, the commands that need no daemon
 *
 * Owns check, card and keygen, and plan and down for when wgscaled does not run: the same loading,
 * site, plan and kernel code as the daemon's, driven once. Never talks to the socket, and prints
 * no secret. Only `down` changes the kernel; only `card` and `keygen` write files.
 *
 * Read next: ../daemon/state.h, site.h, plan.h, kernel.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "card.h"
#include "carried.h"
#include "ctl.h"
#include "kernel.h"
#include "keys.h"
#include "map.h"
#include "override_file.h"
#include "render.h"

#define MTU_DEFAULT  1420 /* when the path is not known; as the daemon */
#define PATH_MTU_MIN 576
#define PATH_MTU_MAX 65535 /* from here on it is the loopback path: says nothing */
#define DOWN_ROUNDS  5
#define PEERS_SHOWN  10

/* What the commands here work on; all zeroes is empty. */
struct offline {
	struct diags diags;
	struct loaded *loaded;
	struct site *site;
};

static void done(struct offline *o)
{
	site_free(o->site);
	state_free(o->loaded);
	diag_done(&o->diags);
	*o = (struct offline){0};
}

/* Diagnoses on stderr; `peers`: also those that concern one peer only. */
static void print_diags(const struct diags *d, bool peers)
{
	struct text line = {0}, safe = {0};
	size_t hidden = d->errors + d->warnings - d->n;

	for (size_t i = 0; i < d->n; i++) {
		if (d->items[i].peer && !peers)
			continue;
		text_reset(&line);
		text_reset(&safe);
		diag_print(&d->items[i], &line);
		render_clean(&safe, text_str(&line), line.len, false);
		fprintf(stderr, "%s\n", text_str(&safe));
	}
	if (hidden && peers)
		fprintf(stderr, "and %zu more\n", hidden);
	text_done(&line);
	text_done(&safe);
}

static int load(const struct paths *paths, bool accepted, struct offline *o)
{
	int r = keys_init();

	if (r < 0) {
		ctl_say("libsodium cannot be used: %s", strerror(-r));
		return r;
	}
	return state_load(paths, accepted, &o->diags, &o->loaded);
}

/* The site of what is loaded; `cards`: with its peers. */
static int build(struct offline *o, const struct facts *facts, bool cards)
{
	struct site_input in = {0};

	state_input(o->loaded, &in);
	in.facts = facts;
	if (!cards)
		in.n_cards = in.n_psks = 0;
	return site_build(&in, &o->diags, &o->site);
}

/* ---- check ---- */

static void print_fine(const char *file, const struct site *s)
{
	struct text t = {0}, safe = {0};

	text_printf(&t, "%s: fine: %zu %s, %zu %s", file, s->n_lanes,
		    s->n_lanes == 1 ? "lane" : "lanes", s->n_peers,
		    s->n_peers == 1 ? "peer" : "peers");
	for (size_t i = 0; i < s->n_peers && i < PEERS_SHOWN; i++)
		text_printf(&t, "%s%s %zu %s", i ? ", " : " (", s->peers[i].id,
			    s->peers[i].n_tunnels,
			    s->peers[i].n_tunnels == 1 ? "tunnel" : "tunnels");
	if (s->n_peers > PEERS_SHOWN)
		text_printf(&t, ", and %zu more", s->n_peers - PEERS_SHOWN);
	if (s->n_peers)
		text_printf(&t, ")");
	render_clean(&safe, text_str(&t), t.len, false);
	printf("%s\n", text_str(&safe));
	text_done(&t);
	text_done(&safe);
}

enum ctl_exit offline_check(const struct ctl *ctl)
{
	struct paths paths = ctl->paths;
	struct offline o = {0};
	enum ctl_exit code = CTL_FAILED;

	if (ctl->file)
		paths.config = ctl->file;
	if (load(&paths, false, &o) == 0)
		build(&o, NULL, true);
	print_diags(&o.diags, true);
	if (o.site && !o.diags.errors) {
		print_fine(paths.config, o.site);
		code = CTL_FINE;
	} else {
		ctl_say("%s: %zu %s", paths.config, o.diags.errors,
			o.diags.errors == 1 ? "error" : "errors");
	}
	done(&o);
	return code;
}

/* ---- card and keygen ---- */

/* -errno as an exit code. */
static enum ctl_exit failed(int r, const char *what, const char *path)
{
	ctl_say("%s %s: %s", what, path, strerror(-r));
	return r == -EACCES || r == -EPERM ? CTL_PERMISSION : CTL_FAILED;
}

/* `lanes: auto` stands for one number from the first card on: a new CPU must not change the
 * pairing by itself. */
static enum ctl_exit fix_lanes(const struct ctl *ctl, const struct loaded *l)
{
	struct text path = {0};
	bool fixed;
	int r;

	text_printf(&path, "%s/lanes", ctl->paths.state_dir);
	fixed = l->config->lanes || access(text_str(&path), F_OK) == 0;
	text_done(&path);
	if (fixed)
		return CTL_FINE;
	r = state_write_lanes(&ctl->paths, l->auto_lanes);
	if (r < 0)
		return failed(r, "cannot write the number of lanes below", ctl->paths.state_dir);
	ctl_say("lanes: auto stands for %u from now on (%s/lanes)", l->auto_lanes,
		ctl->paths.state_dir);
	return CTL_FINE;
}

static enum ctl_exit print_card(const struct ctl *ctl, const struct site *site)
{
	struct text card = {0};
	uint64_t serial = 0;
	int r = state_card_serial(&ctl->paths, card_digest_site(site), &serial);

	if (r == -EBADMSG) {
		ctl_say("%s/serial does not hold the serial of a card; remove it, and the next "
			"card is number 1 again",
			ctl->paths.state_dir);
		return CTL_FAILED;
	}
	if (r < 0)
		return failed(r, "cannot store the serial of the card below", ctl->paths.state_dir);
	card_print(site, serial, &card);
	fwrite(text_str(&card), 1, card.len, stdout);
	text_done(&card);
	return CTL_FINE;
}

enum ctl_exit offline_card(const struct ctl *ctl)
{
	struct offline o = {0};
	enum ctl_exit code = CTL_FAILED;

	if (load(&ctl->paths, false, &o) == 0)
		code = fix_lanes(ctl, o.loaded);
	if (code == CTL_FINE) {
		build(&o, NULL, false);
		code = o.site ? print_card(ctl, o.site) : CTL_FAILED;
	}
	/* What a peer's card says does not matter for ours, unless nothing else says why. */
	print_diags(&o.diags, !o.loaded);
	done(&o);
	return code;
}

static int write_all(int fd, const char *s, size_t len)
{
	ssize_t n;

	for (; len; s += n, len -= (size_t)n) {
		n = write(fd, s, len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 0)
			n = 0;
	}
	return 0;
}

/* The name of a new file must outlive a crash as well as its content. */
static int sync_folder(const char *path)
{
	char *copy = xstrdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	free(copy);
	return r;
}

static int write_secret(int fd, const char *path)
{
	char secret[80];
	int r;

	keys_generate(secret);
	r = fchmod(fd, 0600) < 0 ? -errno : write_all(fd, secret, strlen(secret));
	keys_wipe(secret, sizeof(secret));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r == 0 ? sync_folder(path) : r;
}

enum ctl_exit offline_keygen(const struct ctl *ctl)
{
	const char *path = ctl->args[0];
	int fd, r = keys_init();

	if (r < 0)
		return failed(r, "cannot use", "libsodium");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST) {
		ctl_say("%s exists; a secret is never overwritten: choose another name", path);
		return CTL_FAILED;
	}
	if (fd < 0)
		return failed(-errno, "cannot create", path);
	r = write_secret(fd, path);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r < 0) {
		unlink(path);
		return failed(r, "cannot write", path);
	}
	ctl_say("the site secret is in %s; name it in site.yaml (secret-file: %s), then give the "
		"output of `wgscalectl card` to the other sites",
		path, path);
	return CTL_FINE;
}

/* ---- the kernel, without a daemon ---- */

/* Both buses; all zeroes is closed. */
struct buses {
	struct kernel *kernel[2];
	const char *saved_dir; /* what NICs had before, to be put back; NULL: leave them */
};

static void close_buses(struct buses *b)
{
	for (int i = 0; i < 2; i++)
		if (b->kernel[i])
			kernel_close(b->kernel[i]);
	*b = (struct buses){0};
}

/* All that is ours, sorted; on error `ret` is empty and *ret_why tells. */
static int observe(struct buses *b, const struct ownership *own, struct world *ret,
		   const char **ret_why)
{
	static const enum op_bus ids[] = {BUS_RTNL, BUS_NFT};
	int r = 0;

	*ret = (struct world){0};
	for (size_t i = 0; i < 2 && r == 0; i++) {
		enum op_bus id = ids[i];

		*ret_why = NULL;
		if (!b->kernel[id])
			r = kernel_open(id, &b->kernel[id]);
		if (r == 0)
			r = kernel_observe(b->kernel[id], own, ret, ret_why);
		if (r == 0 && id == BUS_RTNL && b->saved_dir)
			kernel_observe_nics(b->kernel[id], NULL, 0, b->saved_dir, ret);
	}
	if (r == 0) {
		world_sort(ret);
		return 0;
	}
	if (!*ret_why)
		*ret_why = strerror(-r);
	world_done(ret);
	*ret = (struct world){0};
	return r;
}

static struct ownership ownership(const struct config *c)
{
	return (struct ownership){
		.table_base = c ? c->table_base : CONFIG_DEFAULT_TABLE_BASE,
		.rule_base = c ? c->rule_base : CONFIG_DEFAULT_RULE_BASE,
	};
}

/* ---- plan ---- */

/* A name is for the daemon to resolve. */
static const struct config_endpoint *first_endpoint(const struct peer *p)
{
	return p->n_endpoints && !p->endpoints[0].name ? &p->endpoints[0] : NULL;
}

static uint16_t peer_mtu(struct kernel *rtnl, const struct site *s, const struct peer *p)
{
	const struct config_endpoint *e = first_endpoint(p);
	uint32_t mtu = 0;
	char dev[16];

	if (p->config->mtu || s->config->mtu)
		return p->config->mtu ? p->config->mtu : s->config->mtu;
	if (!e || !rtnl || kernel_path(rtnl, &e->addr, s->config->mark_mask, &mtu, dev) < 0 ||
	    mtu < PATH_MTU_MIN || mtu >= PATH_MTU_MAX)
		return MTU_DEFAULT;
	return (uint16_t)(mtu - (e->addr.family == AF_INET6 ? WANT_OVERHEAD6 : WANT_OVERHEAD4));
}

/* As if all tunnels were healthy. */
static void healthy(struct arena *a, struct kernel *rtnl, const struct site *s, size_t i,
		    const struct overrides *modes, struct want_peer *ret)
{
	const struct peer *p = &s->peers[i];
	const struct config_endpoint *e = first_endpoint(p);

	ret->mtu = peer_mtu(rtnl, s, p);
	ret->tunnels = arena_alloc(a, p->n_tunnels, sizeof(*ret->tunnels));
	for (size_t b = 0; b < MODEL_BUCKETS; b++)
		ret->map[b] = p->n_tunnels ? p->home[b] : MAP_NONE;
	for (size_t t = 0; t < p->n_tunnels; t++) {
		const struct tunnel *n = &p->tunnels[t];

		ret->tunnels[t].mode = override_mode(modes, p, n, NULL);
		if (!e)
			continue;
		ret->tunnels[t].endpoint.addr = e->addr;
		ret->tunnels[t].endpoint.port =
			e->port_base ? (uint16_t)(e->port_base + n->theirs) : n->port;
	}
}

static json_t *plan_json(const struct plan *plan)
{
	json_t *ops = json_array();
	struct text line = {0}, safe = {0};

	for (size_t i = 0; i < plan->n; i++) {
		text_reset(&line);
		text_reset(&safe);
		plan_print_op(&plan->ops[i], &line);
		render_clean(&safe, text_str(&line), line.len, false);
		json_array_append_new(ops, json_string(text_str(&safe)));
	}
	text_done(&line);
	text_done(&safe);
	return json_pack("{s:o, s:I}", "ops", ops, "leaving", (json_int_t)plan->leaving);
}

static void show_plan(const struct ctl *ctl, struct kernel *rtnl, const struct site *s,
		      const struct facts *facts, const struct world *have)
{
	struct want_input in = {.site = s, .facts = facts};
	struct overrides modes;
	struct world want = {0};
	struct arena a = {0};
	struct want_peer *peers = arena_alloc(&a, s->n_peers, sizeof(*peers));
	struct plan plan;
	json_t *reply;

	if (override_file_read(&ctl->paths, &modes) < 0)
		ctl_say("modes by command cannot be read: the plan is without them");
	for (size_t i = 0; i < s->n_peers; i++)
		healthy(&a, rtnl, s, i, &modes, &peers[i]);
	in.peers = peers;
	want_build(&in, &want);
	plan_build(&want, have, &plan);
	reply = plan_json(&plan);
	ctl_show(ctl, reply, render_plan);
	json_decref(reply);
	plan_done(&plan);
	world_done(&want);
	override_done(&modes);
	arena_done(&a);
}

enum ctl_exit offline_plan(const struct ctl *ctl)
{
	struct paths paths = ctl->paths;
	struct offline o = {0};
	struct buses buses = {0};
	struct world have = {0};
	const char *why = "not root";
	enum ctl_exit code = CTL_FAILED;
	struct ownership own;
	bool seen;

	if (ctl->file)
		paths.config = ctl->file;
	if (load(&paths, false, &o) == 0) {
		own = ownership(o.loaded->config);
		seen = geteuid() == 0 && observe(&buses, &own, &have, &why) == 0;
		if (!seen)
			ctl_say("the kernel cannot be read (%s): the plan is against an empty one",
				why);
		build(&o, seen ? &have.facts : NULL, true);
		if (o.site) {
			show_plan(ctl, buses.kernel[BUS_RTNL], o.site, seen ? &have.facts : NULL,
				  &have);
			code = o.diags.errors ? CTL_FAILED : CTL_FINE;
		}
	}
	print_diags(&o.diags, true);
	if (o.site && o.diags.errors)
		ctl_say("a reload would refuse this and change nothing; the plan is without what "
			"is in error");
	world_done(&have);
	close_buses(&buses);
	done(&o);
	return code;
}

/* ---- down ---- */

/* The networks of peers, in the shape of a status answer. */
static json_t *peers_json(const struct site *s)
{
	json_t *peers = json_array();
	char buf[ADDR_STRLEN];

	for (size_t i = 0; i < s->n_peers; i++) {
		const struct peer *p = &s->peers[i];
		json_t *networks = json_array();

		for (size_t n = 0; n < p->n_networks; n++)
			json_array_append_new(networks,
					      json_string(addr_print_prefix(&p->networks[n], buf)));
		json_array_append_new(peers, json_pack("{s:s, s:s, s:o}", "id", p->id, "traffic",
						       p->traffic == TRAFFIC_OFF ? "off" : "on",
						       "networks", networks));
	}
	return json_pack("{s:o}", "peers", peers);
}

static bool ask_down(const struct ctl *ctl, const struct site *s)
{
	struct text t = {0};
	json_t *reply;
	bool go;

	if (s) {
		reply = peers_json(s);
		render_exposed(reply, false, &t);
		json_decref(reply);
	} else {
		text_printf(&t,
			    "This takes all tunnels down. The configuration cannot be read, so the "
			    "networks that will then\nleave in clear cannot be named.\n");
	}
	go = ctl_ask(ctl, text_str(&t));
	text_done(&t);
	return go;
}

static void tell_failures(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct op *op = &plan->ops[i];
		struct text line = {0};

		if (!op->error)
			continue;
		plan_print_failure(op, &line);
		ctl_say("failed: %s", text_str(&line));
		text_done(&line);
	}
}

/* Runs of one bus, in the order of the plan. Returns how many ops were done. */
static size_t apply(struct buses *b, struct plan *plan, bool tell)
{
	struct arena a = {0};
	size_t bad = 0, from = 0, to;

	for (; from < plan->n; from = to) {
		enum op_bus bus = plan_bus(&plan->ops[from]);

		for (to = from; to < plan->n && plan_bus(&plan->ops[to]) == bus;)
			to++;
		bad += kernel_apply(b->kernel[bus], &plan->ops[from], to - from, &a);
	}
	if (tell)
		tell_failures(plan);
	arena_done(&a);
	return plan->n - bad;
}

/*
 * Observes, and takes away what is there, until nothing is: *ret_left says what is after the last
 * look. A failure is told only when the last round ends with it: what an op waits for may go
 * meanwhile.
 */
static int take_down(const struct ctl *ctl, const struct ownership *own, size_t *ret_made,
		     size_t *ret_left)
{
	const struct world nothing = {0};
	struct text saved = {0};
	struct buses buses = {0};
	const char *why = NULL;
	int r = 0;

	text_printf(&saved, "%s/saved", ctl->paths.runtime_dir);
	buses.saved_dir = text_str(&saved);
	for (int round = 0; round <= DOWN_ROUNDS; round++) {
		struct world have;
		struct plan plan;

		r = observe(&buses, own, &have, &why);
		if (r < 0) {
			ctl_say("the kernel cannot be read: %s", why);
			break;
		}
		for (size_t i = 0; i < have.n; i++)
			if (have.objs[i].kind == OBJ_LINK)
				have.objs[i].link.quiet = true; /* all of them go anyway */
		plan_build(&nothing, &have, &plan);
		*ret_left = plan.n + plan.leaving;
		if (*ret_left && round < DOWN_ROUNDS)
			*ret_made += apply(&buses, &plan, round + 1 == DOWN_ROUNDS);
		plan_done(&plan);
		world_done(&have);
		if (!*ret_left)
			break;
	}
	close_buses(&buses);
	text_done(&saved);
	return r;
}

static enum ctl_exit down(const struct ctl *ctl, const struct ownership *own)
{
	size_t made = 0, left = 0;
	json_t *reply;

	if (take_down(ctl, own, &made, &left) < 0)
		return CTL_FAILED;
	reply = json_pack("{s:I, s:b}", "ops", (json_int_t)made, "settled", left == 0);
	ctl_show(ctl, reply, render_down);
	json_decref(reply);
	return left ? CTL_DEGRADED : CTL_FINE;
}

enum ctl_exit offline_down(const struct ctl *ctl)
{
	struct offline o = {0};
	struct carried carried;
	struct ownership own;
	enum ctl_exit code;
	bool known;

	if (geteuid() != 0) {
		ctl_say("this takes root");
		return CTL_PERMISSION;
	}
	if (load(&ctl->paths, false, &o) < 0) {
		done(&o);
		if (load(&ctl->paths, true, &o) < 0)
			ctl_say("no configuration can be read: going by the default numbers of "
				"tables and rules");
	}
	if (o.loaded)
		build(&o, NULL, true);
	/* The file may have been edited since its numbers were used. */
	known = carried_read(&ctl->paths, &carried) == 0 && !carried.empty;
	own = ownership(known ? &carried.config : o.loaded ? o.loaded->config : NULL);
	code = ask_down(ctl, o.site) ? down(ctl, &own) : CTL_FAILED;
	if (code == CTL_FINE && known && carried_set_empty(&ctl->paths) != 0)
		ctl_say("%s/networks cannot be written: the next start goes by its numbers of "
			"tables and rules",
			ctl->paths.state_dir);
	carried_done(&carried);
	done(&o);
	return code;
}
