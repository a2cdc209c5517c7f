/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: A pass as a small state machine on the event loop. Both workers observe at the same time;
 * the two halves are joined and planned from; ops go back to the workers in runs of one bus; then
 * it observes again, and only an empty plan counts as settled. What is left over is kept as text
 * and tried again with growing pauses. Nothing is remembered of the kernel between passes but the
 * packet counts that tell a quiet lane. What is wanted, and why, is the owner's (gateway.c).
 */
#include "reconcile.h"

#include <ev.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "watch.h"
#include "worker.h"

#define DEBOUNCE_S	0.1
#define POLL_S		30.0 /* WireGuard sends no notifications */
#define LEAVING_S	2.0
#define BACKOFF_FIRST_S 0.5
#define BACKOFF_MAX_S	60.0
#define ROUNDS_MAX	3 /* applications in one pass before backing off */
/* A lane is quiet up to this; a tunnel probed every 100 ms has 40 packets a second of its own. */
#define QUIET_PPS	 20
#define QUIET_TUNNEL_PPS 40
#define STOP_WAIT_MS	 2000
#define LOGGED_MAX	 200

enum stage { STAGE_IDLE, STAGE_OBSERVE, STAGE_APPLY };

/* What a worker owns: its kernel, opened in its own thread at first use. */
struct bus {
	enum op_bus id;
	struct kernel *kernel;
	struct worker *worker;
};

/* One look at the kernel. */
struct observation {
	struct world half[2]; /* by enum op_bus */
	struct world have;    /* joined: objects of both halves */
	const char *why[2];
	int error[2];
	unsigned int missing;
	struct ownership own;
	uint32_t mark;
	const char *saved_dir;
	struct reconcile_path *paths;
	size_t n_paths;
};

struct observe_job {
	struct observation *o;
	enum op_bus bus;
};

struct apply_job {
	struct op *ops;
	size_t n, failed;
	struct arena arena; /* of error texts */
};

struct quiet {
	char dev[16];
	uint64_t packets;
	double when;
};

struct plan_request {
	struct plan_request *next;
	void (*cb)(void *owner, const char *const *lines, size_t n, size_t leaving,
		   const char *error);
	void *owner;
};

struct reconcile {
	struct ev_loop *loop;
	struct reconcile_hooks hooks;
	void *owner;
	struct bus buses[2];
	struct watch *watch;
	ev_timer soon, poll;
	enum stage stage;
	bool dirty, settled, started, closing;
	unsigned int round;
	double backoff_s;
	/* the pass under way */
	struct observation *seen;
	struct world want;
	bool has_want;
	struct plan plan;
	size_t applied_to; /* ops done so far */
	bool unsteered;	   /* a route, rule or nf_tables op failed in this round */
	/* what is known of the last one */
	struct arena kept; /* pending lines and facts */
	const char **pending;
	size_t n_pending;
	size_t leaving;
	uint64_t applied;
	struct facts facts;
	struct arena facts_arena;
	struct quiet quiet[MODEL_LANES_MAX];
	size_t n_quiet;
	struct plan_request *requests;
};

static void observe(struct reconcile *r);

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct kernel *bus_kernel(struct bus *b, const char **ret_why)
{
	int err = b->kernel ? 0 : kernel_open(b->id, &b->kernel);

	if (err && ret_why)
		*ret_why = strerror(-err);
	return err ? NULL : b->kernel;
}

/* ---- in the workers ---- */

/* The way to each peer, and the NICs it begins with. */
static void observe_underlay(struct kernel *k, struct observation *o)
{
	const char **devs = xcalloc(o->n_paths, sizeof(*devs));
	size_t n = 0;

	for (size_t i = 0; i < o->n_paths; i++) {
		struct reconcile_path *p = &o->paths[i];

		if (!p->dst.family || kernel_path(k, &p->dst, o->mark, &p->mtu, p->dev) != 0)
			p->mtu = 0;
		else
			devs[n++] = p->dev;
	}
	kernel_observe_nics(k, devs, n, o->saved_dir, &o->half[BUS_RTNL]);
	free(devs);
}

static void run_observe(void *ctx, void *arg)
{
	struct observe_job *job = arg;
	struct observation *o = job->o;
	struct kernel *k = bus_kernel(ctx, &o->why[job->bus]);

	if (!k) {
		o->error[job->bus] = -EIO;
		return;
	}
	o->error[job->bus] = kernel_observe(k, &o->own, &o->half[job->bus], &o->why[job->bus]);
	if (job->bus == BUS_RTNL && !o->error[BUS_RTNL])
		observe_underlay(k, o);
}

static void run_apply(void *ctx, void *arg)
{
	struct apply_job *job = arg;
	const char *why = "";
	struct kernel *k = bus_kernel(ctx, &why);

	if (k) {
		job->failed = kernel_apply(k, job->ops, job->n, &job->arena);
		return;
	}
	for (size_t i = 0; i < job->n; i++) {
		job->ops[i].error = -EIO;
		job->ops[i].why = why;
	}
	job->failed = job->n;
}

/* ---- observations ---- */

static void observation_free(struct observation *o)
{
	if (!o)
		return;
	world_done(&o->half[0]);
	world_done(&o->half[1]);
	world_done(&o->have);
	free(o);
}

/* Packets a second that are none of the users'. */
static double quiet_pps(const struct world *have, const char *dev)
{
	size_t tunnels = 0;

	for (size_t i = 0; i < have->n; i++)
		tunnels += have->objs[i].kind == OBJ_WGPEER && have->objs[i].wgpeer.n_allowed &&
			   strcmp(have->objs[i].dev, dev) == 0;
	return QUIET_PPS + (double)tunnels * QUIET_TUNNEL_PPS;
}

static void mark_quiet(struct reconcile *r, struct world *have)
{
	struct quiet now[MODEL_LANES_MAX];
	size_t n = 0;
	double t = now_s();

	for (size_t i = 0; i < have->n && n < MODEL_LANES_MAX; i++) {
		struct obj *o = &have->objs[i];
		struct quiet *q = &now[n];

		if (o->kind != OBJ_LINK)
			continue;
		memset(q, 0, sizeof(*q));
		strncpy(q->dev, o->dev, sizeof(q->dev) - 1);
		q->packets = o->link.packets;
		q->when = t;
		for (size_t j = 0; j < r->n_quiet; j++) {
			const struct quiet *old = &r->quiet[j];
			double dt = t - old->when;

			if (strcmp(old->dev, q->dev) != 0)
				continue;
			if (dt < 1.0) /* too short to tell: keep the older mark */
				*q = *old;
			else
				o->link.quiet = (double)(q->packets - old->packets) <
						dt * quiet_pps(have, o->dev);
		}
		n++;
	}
	memcpy(r->quiet, now, n * sizeof(now[0]));
	r->n_quiet = n;
}

static void keep_facts(struct reconcile *r, const struct facts *f)
{
	struct arena a = {0};
	struct facts copy = *f;

	copy.addrs = arena_alloc(&a, f->n_addrs, sizeof(*f->addrs));
	for (size_t i = 0; i < f->n_addrs; i++) {
		copy.addrs[i] = f->addrs[i];
		copy.addrs[i].dev = arena_strdup(&a, f->addrs[i].dev);
	}
	copy.foreign = arena_alloc(&a, f->n_foreign, sizeof(*f->foreign));
	for (size_t i = 0; i < f->n_foreign; i++) {
		copy.foreign[i] = f->foreign[i];
		copy.foreign[i].dev = arena_strdup(&a, f->foreign[i].dev);
		copy.foreign[i].alias =
			f->foreign[i].alias ? arena_strdup(&a, f->foreign[i].alias) : NULL;
	}
	copy.nics = arena_alloc(&a, f->n_nics, sizeof(*f->nics));
	for (size_t i = 0; i < f->n_nics; i++) {
		copy.nics[i] = f->nics[i];
		copy.nics[i].dev = arena_strdup(&a, f->nics[i].dev);
	}
	arena_done(&r->facts_arena);
	r->facts_arena = a;
	r->facts = copy;
}

static void join(struct observation *o)
{
	for (int b = 0; b < 2; b++)
		for (size_t i = 0; i < o->half[b].n; i++) {
			struct obj *slot = arena_grow(&o->have.arena, (void **)&o->have.objs,
						      &o->have.n, sizeof(*slot));

			*slot = o->half[b].objs[i];
		}
	o->have.facts = o->half[BUS_RTNL].facts;
	world_sort(&o->have);
}

/* ---- the pass ---- */

static void answer_plans(struct reconcile *r, const char *const *lines, size_t n, size_t leaving,
			 const char *error)
{
	while (r->requests) {
		struct plan_request *q = r->requests;

		r->requests = q->next;
		q->cb(q->owner, lines, n, leaving, error);
		free(q);
	}
}

static void schedule(struct reconcile *r, double in_s)
{
	if (ev_is_active(&r->soon) && ev_timer_remaining(r->loop, &r->soon) <= in_s)
		return;
	ev_timer_stop(r->loop, &r->soon);
	ev_timer_set(&r->soon, in_s, 0.);
	ev_timer_start(r->loop, &r->soon);
}

static void drop_pass(struct reconcile *r)
{
	plan_done(&r->plan);
	if (r->has_want)
		world_done(&r->want);
	r->has_want = false;
	observation_free(r->seen);
	r->seen = NULL;
	r->stage = STAGE_IDLE;
}

static void end_pass(struct reconcile *r, bool settled)
{
	bool retry = !settled;

	if (settled) {
		r->backoff_s = 0;
		r->n_pending = 0;
		arena_done(&r->kept);
		memset(&r->kept, 0, sizeof(r->kept));
	} else {
		r->backoff_s = r->backoff_s ? r->backoff_s * 2 : BACKOFF_FIRST_S;
		if (r->backoff_s > BACKOFF_MAX_S)
			r->backoff_s = BACKOFF_MAX_S;
	}
	r->settled = settled;
	r->started = true;
	r->round = 0;
	drop_pass(r);
	r->hooks.pass_done(r->owner, settled);
	if (retry)
		schedule(r, r->backoff_s);
	else if (r->leaving)
		schedule(r, LEAVING_S);
	if (r->dirty)
		schedule(r, DEBOUNCE_S);
}

static void keep_pending(struct reconcile *r)
{
	arena_done(&r->kept);
	memset(&r->kept, 0, sizeof(r->kept));
	r->pending = NULL;
	r->n_pending = 0;
	for (size_t i = 0; i < r->plan.n && r->n_pending < 100; i++) {
		const struct op *op = &r->plan.ops[i];
		struct text line = {0};
		const char **slot =
			arena_grow(&r->kept, (void **)&r->pending, &r->n_pending, sizeof(*slot));

		plan_print_op(op, &line);
		if (op->error)
			text_printf(&line, ": %s", strerror(-op->error));
		if (op->why && *op->why)
			text_printf(&line, " (%s)", op->why);
		*slot = arena_strdup(&r->kept, text_str(&line));
		text_done(&line);
	}
}

/* Many are told by their number only. What waits for another op that failed is no news. */
static void log_ops(struct reconcile *r, const struct op *ops, size_t n)
{
	size_t made = 0, failed = 0;

	for (size_t i = 0; i < n; i++) {
		bool waits = ops[i].error == -ECANCELED;
		size_t *count = ops[i].error ? &failed : &made;
		struct text line = {0};

		*count += !waits;
		if (ops[i].error && (waits || failed <= LOGGED_MAX)) {
			plan_print_failure(&ops[i], &line);
			log_line(waits ? LOG_DEBUG : LOG_WARNING, "failed: %s", text_str(&line));
		} else if (!ops[i].error && n <= LOGGED_MAX) {
			plan_print_op(&ops[i], &line);
			log_line(LOG_INFO, "%s", text_str(&line));
		}
		text_done(&line);
	}
	if (n > LOGGED_MAX)
		log_line(failed ? LOG_WARNING : LOG_INFO, "%zu changes made, %zu failed", made,
			 failed);
}

static void apply_next(struct reconcile *r);

static void apply_done(void *owner, void *arg)
{
	struct apply_job *job = arg;
	struct reconcile *r = owner;

	log_ops(r, job->ops, job->n);
	r->applied += job->n - job->failed;
	r->applied_to += job->n;
	for (size_t i = 0; i < job->n; i++)
		r->unsteered |= job->ops[i].error && plan_steers(&job->ops[i]);
	if (job->failed) {
		keep_pending(r);
		r->round = ROUNDS_MAX; /* what the kernel refused is not tried again at once */
	}
	arena_done(&job->arena);
	free(job);
	/* Error texts are gone with the job. */
	for (size_t i = 0; i < r->plan.n; i++)
		r->plan.ops[i].why = NULL;
	if (!r->closing)
		apply_next(r);
}

static void apply_next(struct reconcile *r)
{
	size_t from = r->applied_to, to = from;
	struct apply_job *job;
	enum op_bus bus;

	/* While what leads packets is not all in place, what still catches them stays. */
	if (from == r->plan.n || (r->unsteered && plan_removes(&r->plan.ops[from]))) {
		drop_pass(r);
		observe(r);
		return;
	}
	bus = plan_bus(&r->plan.ops[from]);
	while (to < r->plan.n && plan_bus(&r->plan.ops[to]) == bus &&
	       plan_removes(&r->plan.ops[to]) == plan_removes(&r->plan.ops[from]))
		to++;
	job = xcalloc(1, sizeof(*job));
	job->ops = &r->plan.ops[from];
	job->n = to - from;
	r->stage = STAGE_APPLY;
	worker_submit(r->buses[bus].worker,
		      bus == BUS_NFT ? "change nf_tables" : "change devices, routes and rules",
		      run_apply, apply_done, r, job);
}

static void plan_lines(struct reconcile *r)
{
	struct arena a = {0};
	const char **lines = arena_alloc(&a, r->plan.n, sizeof(*lines));

	for (size_t i = 0; i < r->plan.n; i++) {
		struct text line = {0};

		plan_print_op(&r->plan.ops[i], &line);
		lines[i] = arena_strdup(&a, text_str(&line));
		text_done(&line);
	}
	answer_plans(r, lines, r->plan.n, r->plan.leaving, NULL);
	arena_done(&a);
}

static void plan_pass(struct reconcile *r)
{
	struct observation *o = r->seen;

	join(o);
	mark_quiet(r, &o->have);
	keep_facts(r, &o->have.facts);
	watch_set_modes(r->watch, o->have.facts.mode_group);
	r->hooks.observed(r->owner, &o->have, o->paths, o->n_paths);
	if (!r->hooks.want(r->owner, &r->facts, &r->want)) {
		answer_plans(r, NULL, 0, 0, "there is no usable configuration");
		end_pass(r, false);
		return;
	}
	r->has_want = true;
	plan_build(&r->want, &o->have, &r->plan);
	r->leaving = r->plan.leaving;
	plan_lines(r);
	if (!r->plan.n) {
		end_pass(r, true);
		return;
	}
	if (r->round++ >= ROUNDS_MAX) {
		if (!r->n_pending)
			keep_pending(r);
		log_line(LOG_WARNING, "not settled: %zu changes remain, first: %s", r->plan.n,
			 r->n_pending ? r->pending[0] : "?");
		end_pass(r, false);
		return;
	}
	r->applied_to = 0;
	r->unsteered = false;
	apply_next(r);
}

static void observe_done(void *owner, void *arg)
{
	struct reconcile *r = owner;
	struct observe_job *job = arg;
	struct observation *o = job->o;

	free(job);
	if (--o->missing || r->closing)
		return;
	for (int b = 0; b < 2; b++)
		if (o->error[b]) {
			const char *why = o->why[b] ? o->why[b] : strerror(-o->error[b]);

			log_line(LOG_WARNING, "cannot read the kernel's state: %s", why);
			answer_plans(r, NULL, 0, 0, why);
			end_pass(r, false);
			return;
		}
	plan_pass(r);
}

static void observe(struct reconcile *r)
{
	struct observation *o = xcalloc(1, sizeof(*o));

	ev_timer_stop(r->loop, &r->soon);
	watch_drain(r->watch);
	r->dirty = false;
	r->stage = STAGE_OBSERVE;
	r->seen = o;
	o->missing = 2;
	o->own = r->hooks.own;
	o->mark = r->hooks.mark;
	o->saved_dir = r->hooks.saved_dir;
	o->n_paths = r->hooks.paths(r->owner, &o->have.arena, &o->paths);
	for (int b = 0; b < 2; b++) {
		struct observe_job *job = xcalloc(1, sizeof(*job));

		job->o = o;
		job->bus = (enum op_bus)b;
		worker_submit(r->buses[b].worker,
			      b == BUS_NFT ? "read nf_tables" : "read devices, routes and rules",
			      run_observe, observe_done, r, job);
	}
}

static void on_soon(struct ev_loop *loop, ev_timer *t, int events)
{
	struct reconcile *r = t->data;

	if (r->stage == STAGE_IDLE)
		observe(r);
}

static void on_poll(struct ev_loop *loop, ev_timer *t, int events)
{
	reconcile_dirty(t->data, false);
}

static void on_change(void *owner, const char *what)
{
	struct reconcile *r = owner;

	r->settled = false;
	reconcile_dirty(r, false);
}

/* ---- what others ask ---- */

void reconcile_dirty(struct reconcile *r, bool now)
{
	if (r->closing)
		return;
	r->dirty = true;
	if (now)
		r->backoff_s = 0;
	if (r->stage == STAGE_IDLE)
		schedule(r, now ? 0. : r->backoff_s > DEBOUNCE_S ? r->backoff_s : DEBOUNCE_S);
}

bool reconcile_idle(const struct reconcile *r)
{
	return r->stage == STAGE_IDLE;
}

bool reconcile_settled(const struct reconcile *r)
{
	return r->settled && r->started;
}

size_t reconcile_pending(const struct reconcile *r, const char *const **ret_lines)
{
	*ret_lines = r->pending;
	return r->n_pending;
}

size_t reconcile_leaving(const struct reconcile *r)
{
	return r->leaving;
}

uint64_t reconcile_applied(const struct reconcile *r)
{
	return r->applied;
}

const struct facts *reconcile_facts(const struct reconcile *r)
{
	return &r->facts;
}

size_t reconcile_stuck(struct reconcile *r, struct reconcile_stuck ret[static 2])
{
	size_t n = 0;

	for (int b = 0; b < 2; b++) {
		uint64_t age = 0;
		const char *what = worker_busy(r->buses[b].worker, &age);

		if (what && age > 1000)
			ret[n++] = (struct reconcile_stuck){.what = what, .age_ms = age};
	}
	return n;
}

void reconcile_plan(struct reconcile *r,
		    void (*cb)(void *owner, const char *const *lines, size_t n, size_t leaving,
			       const char *error),
		    void *owner)
{
	struct plan_request *q = xcalloc(1, sizeof(*q));

	q->cb = cb;
	q->owner = owner;
	q->next = r->requests;
	r->requests = q;
	reconcile_dirty(r, true);
}

struct move_job {
	struct obj want, have;
	struct obj_nft_buckets to, from;
	struct op op;
	struct arena arena;
	char map[128];
};

static void run_move(void *ctx, void *arg)
{
	struct move_job *job = arg;
	struct kernel *k = bus_kernel(ctx, NULL);

	job->op.error = -EIO;
	if (k)
		kernel_apply(k, &job->op, 1, &job->arena);
}

static void move_done(void *owner, void *arg)
{
	struct reconcile *r = owner;
	struct move_job *job = arg;
	struct text line = {0};

	if (job->op.error) {
		/* The map was not what it was thought to be: a pass puts it right. */
		plan_print_failure(&job->op, &line);
		log_line(LOG_NOTICE, "failed: %s; looking again", text_str(&line));
		reconcile_dirty(r, true);
	} else {
		plan_print_op(&job->op, &line);
		log_line(LOG_INFO, "%s", text_str(&line));
		r->applied++;
	}
	text_done(&line);
	arena_done(&job->arena);
	free(job);
}

void reconcile_move(struct reconcile *r, const char *map, const struct obj_nft_buckets *from,
		    const struct obj_nft_buckets *to)
{
	struct move_job *job = xcalloc(1, sizeof(*job));

	strncpy(job->map, map, sizeof(job->map) - 1);
	job->to = *to;
	job->from = *from;
	job->want = (struct obj){.kind = OBJ_NFT_BUCKETS,
				 .name = job->map,
				 .table = NFT_TABLE_STEER,
				 .buckets = &job->to};
	job->have = job->want;
	job->have.buckets = &job->from;
	job->op = (struct op){
		.verb = OP_SET, .kind = OBJ_NFT_BUCKETS, .want = &job->want, .have = &job->have};
	worker_submit(r->buses[BUS_NFT].worker, "move buckets", run_move, move_done, r, job);
}

struct sample_job {
	char dev[16];
	void (*cb)(void *owner, const char *dev, const struct kernel_peer_sample *samples,
		   size_t n);
	void *owner;
	struct arena arena;
	struct kernel_peer_sample *samples;
	size_t n;
};

static void run_sample(void *ctx, void *arg)
{
	struct sample_job *job = arg;
	struct kernel *k = bus_kernel(ctx, NULL);

	if (!k || kernel_sample(k, job->dev, &job->arena, &job->samples, &job->n) != 0)
		job->n = 0;
}

static void sample_done(void *owner, void *arg)
{
	struct sample_job *job = arg;

	job->cb(job->owner, job->dev, job->samples, job->n);
	arena_done(&job->arena);
	free(job);
}

void reconcile_sample(struct reconcile *r, const char *dev,
		      void (*cb)(void *owner, const char *dev,
				 const struct kernel_peer_sample *samples, size_t n),
		      void *owner)
{
	struct sample_job *job = xcalloc(1, sizeof(*job));

	strncpy(job->dev, dev, sizeof(job->dev) - 1);
	job->cb = cb;
	job->owner = owner;
	worker_submit(r->buses[BUS_RTNL].worker, "read counters", run_sample, sample_done, r, job);
}

/* ---- life ---- */

void reconcile_set_numbers(struct reconcile *r, const struct ownership *own, uint32_t mark)
{
	r->hooks.own = *own;
	r->hooks.mark = mark;
	watch_set_numbers(r->watch, own);
}

int reconcile_open(struct ev_loop *loop, const struct reconcile_hooks *hooks, void *owner,
		   struct reconcile **ret_reconcile)
{
	static const char *const names[] = {[BUS_RTNL] = "wgs-rtnl", [BUS_NFT] = "wgs-nft"};
	struct reconcile *r = xcalloc(1, sizeof(*r));
	int err;

	r->loop = loop;
	r->hooks = *hooks;
	r->owner = owner;
	err = watch_open(loop, &hooks->own, on_change, r, &r->watch);
	for (int b = 0; b < 2 && !err; b++) {
		r->buses[b].id = (enum op_bus)b;
		err = worker_start(loop, names[b], &r->buses[b], &r->buses[b].worker);
	}
	ev_timer_init(&r->soon, on_soon, 0., 0.);
	r->soon.data = r;
	ev_timer_init(&r->poll, on_poll, POLL_S, POLL_S);
	r->poll.data = r;
	if (err) {
		reconcile_close(r);
		return err;
	}
	ev_timer_start(loop, &r->poll);
	*ret_reconcile = r;
	return 0;
}

void reconcile_close(struct reconcile *r)
{
	bool stuck = false;

	if (!r)
		return;
	ev_timer_stop(r->loop, &r->soon);
	ev_timer_stop(r->loop, &r->poll);
	r->closing = true;
	for (int b = 0; b < 2; b++) {
		if (r->buses[b].worker && worker_stop(r->buses[b].worker, STOP_WAIT_MS) != 0)
			stuck = true;
		else if (r->buses[b].kernel)
			kernel_close(r->buses[b].kernel);
	}
	watch_close(r->watch);
	/* A request that is still held up in the kernel refers to the pass; the process ends soon.
	 */
	if (stuck)
		return;
	drop_pass(r);
	answer_plans(r, NULL, 0, 0, "the daemon stops");
	arena_done(&r->kept);
	arena_done(&r->facts_arena);
	free(r);
}
