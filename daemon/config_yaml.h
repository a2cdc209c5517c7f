/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * config_yaml: YAML text -> a tree of nodes with line and column, and typed reading of them. Pure.
 *
 * What site files and cards have in common. A schema is a table of keys with a function each;
 * config_yaml_walk() calls them in the order of the file. A scalar is text until the schema says
 * what it is: YAML's own guesses (`no`, `0x10`, `1:30`) do not exist here.
 */
#ifndef WGSCALE_CONFIG_YAML_H
#define WGSCALE_CONFIG_YAML_H

#include "model.h"

#define CONFIG_YAML_DEPTH_MAX 8
#define CONFIG_YAML_NODES_MAX (1u << 18)
#define CONFIG_YAML_KEYS_MAX  512 /* in one mapping */

enum config_yaml_kind { CONFIG_YAML_SCALAR, CONFIG_YAML_LIST, CONFIG_YAML_MAP };

struct config_yaml_node {
	enum config_yaml_kind kind;
	const char *text; /* of a scalar; free of control characters */
	bool plain;	  /* a scalar without quotes */
	const char *name; /* the key it, or the list it is in, stands behind; "" at the top */
	unsigned int line, column;
	unsigned int key_line, key_column; /* in a mapping: where its key is */
	struct config_yaml_node *first, *last, *next;
	size_t n; /* of a list or mapping */
};

struct config_yaml {
	struct arena arena; /* of the nodes */
	struct arena *keep; /* of the result: what the readers below return lies here */
	struct config_yaml_node *root;
	const char *path, *peer; /* of diagnoses; live as long as the result */
	struct diags *diags;
	const char *source;
	size_t source_len;
	bool lenient; /* unknown keys are warned of, not refused */
	size_t first_diag, first_errors;
};

/*
 * Reads one YAML document into y->root. `path` must live in or as long as `keep`. False when it is
 * not YAML, or more of it than is supported (anchors, tags, several documents, too deep, too
 * much); then there is a diagnosis. config_yaml_done() in either case. y->peer may be set before.
 */
bool config_yaml_open(struct config_yaml *y, struct arena *keep, const char *path, const char *text,
		      size_t len, struct diags *diags);
/* Frees the tree and puts what was diagnosed since _open() in the order of the file. True when
 * there was no error. */
bool config_yaml_done(struct config_yaml *y);

struct config_yaml_key {
	const char *name;
	void (*read)(struct config_yaml *y, const struct config_yaml_node *value, void *ctx);
	const char *refuse; /* instead of `read`: why this key is not taken */
};

/* Calls the reader of each key; `keys` ends with a NULL name. Diagnoses unknown keys. */
void config_yaml_walk(struct config_yaml *y, const struct config_yaml_node *map,
		      const struct config_yaml_key *keys, void *ctx);
/* The value of a key in a mapping, or NULL. */
const struct config_yaml_node *config_yaml_get(const struct config_yaml_node *map,
					       const char *name);
/* An empty value: "key:". */
bool config_yaml_is_empty(const struct config_yaml_node *n);

/* Where a node is; NULL: the file. */
struct diag_at config_yaml_at(const struct config_yaml *y, const struct config_yaml_node *n);
struct diag_at config_yaml_at_key(const struct config_yaml *y, const struct config_yaml_node *n);
void config_yaml_say(struct config_yaml *y, enum diag_level level, const struct diag_at *at,
		     const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void config_yaml_error(struct config_yaml *y, const struct config_yaml_node *n, const char *fmt,
		       ...) __attribute__((format(printf, 3, 4)));
/* A hint for a message when the line holds an IPv6 address without quotes, or "". */
const char *config_yaml_hint(struct config_yaml *y, const struct config_yaml_node *n);
/* The text of a scalar for a message, cut to a bearable length; lives until _done(). */
const char *config_yaml_show(struct config_yaml *y, const struct config_yaml_node *n);

/*
 * Typed readers: true and the value, or false, a diagnosis and the value untouched. `expected`
 * completes "expected ...". `word`, where not NULL, is accepted instead of a number and means 0.
 */
bool config_yaml_scalar(struct config_yaml *y, const struct config_yaml_node *n,
			const char *expected);
bool config_yaml_string(struct config_yaml *y, const struct config_yaml_node *n,
			const char *expected, const char **ret);
bool config_yaml_site_id(struct config_yaml *y, const struct config_yaml_node *n, const char **ret);
bool config_yaml_u64(struct config_yaml *y, const struct config_yaml_node *n, uint64_t min,
		     uint64_t max, const char *word, uint64_t *ret);
bool config_yaml_ms(struct config_yaml *y, const struct config_yaml_node *n, uint64_t min_ms,
		    uint64_t max_ms, const char *word, uint64_t *ret_ms);
/* `words` ends with NULL; the value is an index. */
bool config_yaml_word(struct config_yaml *y, const struct config_yaml_node *n,
		      const char *const *words, unsigned int *ret);
/* Lists; one scalar counts as a list of one. */
bool config_yaml_is_list(struct config_yaml *y, const struct config_yaml_node *n, size_t max,
			 const char *expected);
const struct config_yaml_node *config_yaml_first(const struct config_yaml_node *list);
const struct config_yaml_node *config_yaml_next(const struct config_yaml_node *list,
						const struct config_yaml_node *item);

#endif
