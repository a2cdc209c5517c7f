/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: YAML for people's files. Owns the way from libyaml's events to a small tree whose nodes
 * know their line and column, and the typed readers with their diagnoses, alike for site files
 * and cards. Never guesses a type, never touches a file, and never repeats a control character of
 * its input: a card comes from somebody else and its text ends up on a terminal.
 *
 * Invariant: every reader that returns false has left exactly one diagnosis. Depth, nodes and
 * keys are bounded before anything is built of them; anchors and aliases are refused, so the tree
 * is never larger than the file. Read next: config.c and card.c, the two schemas.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "config_yaml.h"
#include "text.h"

#define SHOW_MAX 64 /* bytes of a value repeated in a message */

/* ---- diagnoses ---- */

struct diag_at config_yaml_at(const struct config_yaml *y, const struct config_yaml_node *n)
{
	return (struct diag_at){y->path, n ? n->line : 0, n ? n->column : 0, y->peer};
}

struct diag_at config_yaml_at_key(const struct config_yaml *y, const struct config_yaml_node *n)
{
	return (struct diag_at){y->path, n->key_line, n->key_column, y->peer};
}

static void say_va(struct config_yaml *y, enum diag_level level, const struct diag_at *at,
		   const char *fmt, va_list ap)
{
	char buf[1024];

	vsnprintf(buf, sizeof(buf), fmt, ap);
	diag_add(y->diags, level, at, "%s", buf);
}

void config_yaml_say(struct config_yaml *y, enum diag_level level, const struct diag_at *at,
		     const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_va(y, level, at, fmt, ap);
	va_end(ap);
}

void config_yaml_error(struct config_yaml *y, const struct config_yaml_node *n, const char *fmt,
		       ...)
{
	struct diag_at at = config_yaml_at(y, n);
	va_list ap;

	va_start(ap, fmt);
	say_va(y, DIAG_ERROR, &at, fmt, ap);
	va_end(ap);
}

const char *config_yaml_show(struct config_yaml *y, const struct config_yaml_node *n)
{
	size_t len = strlen(n->text);

	if (len <= SHOW_MAX)
		return n->text;
	/* Not in the middle of a character. */
	for (len = SHOW_MAX; len > 0 && (n->text[len] & 0xc0) == 0x80; len--)
		;
	return arena_printf(&y->arena, "%.*s...", (int)len, n->text);
}

/* The line of the source, without its end; NULL when there is none. */
static const char *source_line(const struct config_yaml *y, unsigned int line, size_t *ret_len)
{
	const char *p = y->source, *end = y->source + y->source_len, *eol;

	for (; line > 1; line--) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			return NULL;
		p++;
	}
	eol = memchr(p, '\n', (size_t)(end - p));
	*ret_len = (size_t)((eol ? eol : end) - p);
	return p;
}

static bool looks_ipv6(const char *s, size_t len)
{
	size_t i, colons = 0;

	for (i = 0; i < len; i++) {
		if (s[i] == ':')
			colons++;
		else if (!strchr("0123456789abcdefABCDEF./", s[i]))
			return false;
	}
	return colons >= 2;
}

/*
 * YAML takes an unquoted "::" apart, and what it then complains of has nothing to do with what the
 * user meant. So look for one on the line in question.
 */
static const char *ipv6_hint(struct config_yaml *y, unsigned int line)
{
	size_t len, i, start = 0;
	const char *s;
	char quote = 0;

	if (y->diags->n >= DIAG_MAX)
		return "";
	s = source_line(y, line, &len);
	if (!s)
		return "";
	for (i = 0; i <= len; i++) {
		char c = i < len ? s[i] : '#';

		if (quote) {
			if (c == quote)
				quote = 0;
			start = i + 1;
		} else if (strchr(" \t\r,[]{}#\"'", c)) {
			if (looks_ipv6(s + start, i - start) && i - start < ADDR_STRLEN)
				return arena_printf(
					&y->arena, "; quote IPv6 addresses in YAML lists: \"%.*s\"",
					(int)(i - start), s + start);
			if (c == '#')
				break;
			if (c == '"' || c == '\'')
				quote = c;
			start = i + 1;
		}
	}
	return "";
}

const char *config_yaml_hint(struct config_yaml *y, const struct config_yaml_node *n)
{
	return ipv6_hint(y, n->line);
}

static const char *syntax_hint(struct config_yaml *y, const yaml_parser_t *p, unsigned int line,
			       unsigned int column)
{
	const char *s, *hint = ipv6_hint(y, line);
	size_t len;

	if (*hint)
		return hint;
	s = source_line(y, line, &len);
	if (s && column <= len && s[column - 1] == '\t')
		return "; YAML does not allow tabs for indentation, use blanks";
	if (p->problem && strstr(p->problem, "expected ':'"))
		return "; write 'key: value', with a blank behind the colon";
	if (p->problem && strstr(p->problem, "mapping values are not allowed"))
		return "; check the indentation, and quote a value that holds ': '";
	if (p->context_mark.line + 1 < line)
		return arena_printf(&y->arena, "; it began in line %zu", p->context_mark.line + 1);
	return "";
}

/* libyaml names the byte of a character it cannot read, but not its line. */
static struct diag_at at_offset(const struct config_yaml *y, size_t offset)
{
	struct diag_at at = {y->path, 1, 1, y->peer};
	size_t i;

	for (i = 0; i < offset && i < y->source_len; i++) {
		if (y->source[i] == '\n') {
			at.line++;
			at.column = 1;
		} else if ((y->source[i] & 0xc0) != 0x80) {
			at.column++;
		}
	}
	return at;
}

static void syntax_error(struct config_yaml *y, const yaml_parser_t *p)
{
	struct diag_at at = {y->path, (unsigned int)p->problem_mark.line + 1,
			     (unsigned int)p->problem_mark.column + 1, y->peer};

	if (p->error == YAML_READER_ERROR) {
		at = at_offset(y, p->problem_offset);
		config_yaml_say(y, DIAG_ERROR, &at,
				"this byte is not text; expected UTF-8 without control characters");
		return;
	}
	config_yaml_say(y, DIAG_ERROR, &at, "not valid YAML: %s%s",
			p->problem ? p->problem : "it cannot be read",
			syntax_hint(y, p, at.line, at.column));
}

/* ---- the tree ---- */

struct builder {
	struct config_yaml *y;
	struct config_yaml_node *stack[CONFIG_YAML_DEPTH_MAX];
	size_t depth, nodes;
	struct config_yaml_node *key; /* a mapping's key that waits for its value */
	bool done;
};

static bool refuse_at(struct config_yaml *y, const yaml_mark_t *m, const char *what)
{
	struct diag_at at = {y->path, (unsigned int)m->line + 1, (unsigned int)m->column + 1,
			     y->peer};

	config_yaml_say(y, DIAG_ERROR, &at, "%s", what);
	return false;
}

/* C0, DEL, and C1 in UTF-8: what a terminal might obey. */
static bool has_control(const unsigned char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (s[i] < 0x20 || s[i] == 0x7f ||
		    (s[i] == 0xc2 && i + 1 < len && s[i + 1] >= 0x80 && s[i + 1] < 0xa0))
			return true;
	return false;
}

static bool is_duplicate(struct config_yaml *y, const struct config_yaml_node *map,
			 const struct config_yaml_node *key)
{
	const struct config_yaml_node *i;

	for (i = map->first; i; i = i->next) {
		if (strcmp(i->name, key->text))
			continue;
		config_yaml_error(y, key, "duplicate key '%s'; it stands in line %u already",
				  config_yaml_show(y, key), i->key_line);
		return true;
	}
	return false;
}

/* Hangs a node into what is being built; false when it must not be there. */
static bool attach(struct builder *b, struct config_yaml_node *n)
{
	struct config_yaml_node *parent = b->depth ? b->stack[b->depth - 1] : NULL;

	n->name = "";
	if (!parent) {
		b->y->root = n;
		return true;
	}
	n->name = parent->name;
	if (parent->kind == CONFIG_YAML_MAP) {
		if (!b->key) {
			if (n->kind != CONFIG_YAML_SCALAR) {
				config_yaml_error(b->y, n, "a list or mapping cannot be a key%s",
						  ipv6_hint(b->y, n->line));
				return false;
			}
			b->key = n;
			return true;
		}
		if (parent->n == CONFIG_YAML_KEYS_MAX) {
			config_yaml_error(b->y, n, "too many keys; at most %d in one mapping",
					  CONFIG_YAML_KEYS_MAX);
			return false;
		}
		n->name = b->key->text;
		n->key_line = b->key->line;
		n->key_column = b->key->column;
		if (is_duplicate(b->y, parent, b->key)) {
			b->key = NULL; /* diagnosed; what is below it is read and forgotten */
			return true;
		}
		b->key = NULL;
	}
	if (parent->last)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
	parent->n++;
	return true;
}

static struct config_yaml_node *add(struct builder *b, const yaml_mark_t *m,
				    enum config_yaml_kind kind)
{
	struct config_yaml_node *n;

	if (b->nodes++ == CONFIG_YAML_NODES_MAX) {
		refuse_at(b->y, m, "the file holds too many values");
		return NULL;
	}
	n = arena_alloc(&b->y->arena, 1, sizeof(*n));
	n->kind = kind;
	n->line = (unsigned int)m->line + 1;
	n->column = (unsigned int)m->column + 1;
	return n;
}

static bool add_scalar(struct builder *b, const yaml_event_t *e)
{
	struct config_yaml_node *n;

	if (e->data.scalar.anchor || e->data.scalar.tag)
		return refuse_at(b->y, &e->start_mark,
				 "YAML anchors (&) and tags (!) are not supported; quote a value "
				 "that begins with one of them");
	if (has_control(e->data.scalar.value, e->data.scalar.length))
		return refuse_at(b->y, &e->start_mark,
				 "control characters and line breaks are not allowed in a value");
	n = add(b, &e->start_mark, CONFIG_YAML_SCALAR);
	if (!n)
		return false;
	n->text = arena_strndup(&b->y->arena, (const char *)e->data.scalar.value,
				e->data.scalar.length);
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return attach(b, n);
}

static bool push(struct builder *b, const yaml_event_t *e, enum config_yaml_kind kind,
		 bool decorated)
{
	struct config_yaml_node *n;

	if (decorated)
		return refuse_at(b->y, &e->start_mark,
				 "YAML anchors (&) and tags (!) are not supported; write the value "
				 "itself");
	if (b->depth == CONFIG_YAML_DEPTH_MAX)
		return refuse_at(b->y, &e->start_mark, "nested too deeply");
	n = add(b, &e->start_mark, kind);
	if (!n || !attach(b, n))
		return false;
	b->stack[b->depth++] = n;
	return true;
}

/* One event into the tree; false: diagnosed, stop. */
static bool feed(struct builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return add_scalar(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return push(b, e, CONFIG_YAML_LIST,
			    e->data.sequence_start.anchor || e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return push(b, e, CONFIG_YAML_MAP,
			    e->data.mapping_start.anchor || e->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return true;
	case YAML_ALIAS_EVENT:
		return refuse_at(b->y, &e->start_mark,
				 "YAML aliases (*) are not supported; write the value itself");
	case YAML_DOCUMENT_START_EVENT:
		if (b->y->root)
			return refuse_at(b->y, &e->start_mark,
					 "a second YAML document; expected one per file");
		return true;
	case YAML_STREAM_END_EVENT:
		b->done = true;
		return true;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return true;
	}
	return true;
}

static void build(struct config_yaml *y)
{
	struct builder b = {.y = y};
	yaml_parser_t parser;
	yaml_event_t event;
	bool good = true;

	if (!yaml_parser_initialize(&parser)) {
		config_yaml_error(y, NULL, "out of memory");
		return;
	}
	/* Not left to detection: what looks like UTF-16 is a mistake here. */
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)y->source, y->source_len);
	while (good && !b.done) {
		if (!yaml_parser_parse(&parser, &event)) {
			syntax_error(y, &parser);
			good = false;
			break;
		}
		good = feed(&b, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	if (!good)
		y->root = NULL;
	else if (!y->root || config_yaml_is_empty(y->root))
		config_yaml_error(y, NULL, "the file is empty");
	else if (y->root->kind != CONFIG_YAML_MAP)
		config_yaml_error(y, y->root,
				  "expected lines of the form 'key: value', with a blank behind "
				  "the colon");
	else
		return;
	y->root = NULL;
}

bool config_yaml_open(struct config_yaml *y, struct arena *keep, const char *path, const char *text,
		      size_t len, struct diags *diags)
{
	const char *peer = y->peer;

	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* a byte order mark */
		text += 3;
		len -= 3;
	}
	*y = (struct config_yaml){
		.keep = keep,
		.path = path,
		.peer = peer,
		.diags = diags,
		.source = text,
		.source_len = len,
		.first_diag = diags->n,
		.first_errors = diags->errors,
	};
	build(y);
	return y->root != NULL;
}

static bool is_before(const struct diag *a, const struct diag *b)
{
	return a->line != b->line ? a->line < b->line : a->column < b->column;
}

bool config_yaml_done(struct config_yaml *y)
{
	struct diag *d = y->diags->items;
	size_t i, j;

	/* Stable; there are at most DIAG_MAX. What has no line comes first. */
	for (i = y->first_diag + 1; i < y->diags->n; i++) {
		struct diag moved = d[i];

		for (j = i; j > y->first_diag && is_before(&moved, &d[j - 1]); j--)
			d[j] = d[j - 1];
		d[j] = moved;
	}
	arena_done(&y->arena);
	y->root = NULL;
	return y->diags->errors == y->first_errors;
}

/* ---- walking ---- */

bool config_yaml_is_empty(const struct config_yaml_node *n)
{
	return n->kind == CONFIG_YAML_SCALAR && n->plain && !*n->text;
}

const struct config_yaml_node *config_yaml_get(const struct config_yaml_node *map, const char *name)
{
	const struct config_yaml_node *i;

	for (i = map->first; i; i = i->next)
		if (!strcmp(i->name, name))
			return i;
	return NULL;
}

static void unknown_key(struct config_yaml *y, const struct config_yaml_node *value,
			const struct config_yaml_key *keys)
{
	const char *names[64], *near;
	struct config_yaml_node shown = {.text = value->name};
	struct diag_at at = config_yaml_at_key(y, value);
	size_t n = 0;

	for (; keys->name && n < sizeof(names) / sizeof(names[0]) - 1; keys++)
		if (keys->read)
			names[n++] = keys->name;
	names[n] = NULL;
	near = text_nearest(value->name, names);
	if (y->lenient)
		config_yaml_say(y, DIAG_WARNING, &at, "unknown key '%s' is left aside",
				config_yaml_show(y, &shown));
	else if (near)
		config_yaml_say(y, DIAG_ERROR, &at, "unknown key '%s'; did you mean '%s'?",
				config_yaml_show(y, &shown), near);
	else
		config_yaml_say(y, DIAG_ERROR, &at, "unknown key '%s'; see wgscale.yaml(5)%s",
				config_yaml_show(y, &shown), ipv6_hint(y, at.line));
}

void config_yaml_walk(struct config_yaml *y, const struct config_yaml_node *map,
		      const struct config_yaml_key *keys, void *ctx)
{
	const struct config_yaml_node *i;
	const struct config_yaml_key *k;

	if (map->kind != CONFIG_YAML_MAP) {
		config_yaml_error(y, map, "%s%sexpected a mapping, 'key: value'", map->name,
				  *map->name ? ": " : "");
		return;
	}
	for (i = map->first; i; i = i->next) {
		for (k = keys; k->name && strcmp(k->name, i->name); k++)
			;
		if (!k->name) {
			unknown_key(y, i, keys);
		} else if (k->read) {
			k->read(y, i, ctx);
		} else {
			struct diag_at at = config_yaml_at_key(y, i);

			config_yaml_say(y, DIAG_ERROR, &at, "'%s' %s", i->name, k->refuse);
		}
	}
}

/* ---- scalars ---- */

bool config_yaml_scalar(struct config_yaml *y, const struct config_yaml_node *n,
			const char *expected)
{
	switch (n->kind) {
	case CONFIG_YAML_SCALAR:
		if (*n->text)
			return true;
		config_yaml_error(y, n, "%s: no value; expected %s", n->name, expected);
		return false;
	case CONFIG_YAML_LIST:
		config_yaml_error(y, n, "%s: a list; expected %s%s", n->name, expected,
				  ipv6_hint(y, n->line));
		return false;
	case CONFIG_YAML_MAP:
		config_yaml_error(y, n, "%s: a mapping; expected %s%s", n->name, expected,
				  ipv6_hint(y, n->line));
		return false;
	}
	return false;
}

bool config_yaml_string(struct config_yaml *y, const struct config_yaml_node *n,
			const char *expected, const char **ret)
{
	if (!config_yaml_scalar(y, n, expected))
		return false;
	*ret = arena_strdup(y->keep, n->text);
	return true;
}

bool config_yaml_site_id(struct config_yaml *y, const struct config_yaml_node *n, const char **ret)
{
	static const char expected[] =
		"a site id: lower-case letters, digits, '-', '_', '.', at most 63, the first a "
		"letter or digit";

	if (!config_yaml_scalar(y, n, expected))
		return false;
	if (!text_is_site_id(n->text)) {
		config_yaml_error(y, n, "%s: '%s' is no site id; expected %s", n->name,
				  config_yaml_show(y, n), expected);
		return false;
	}
	*ret = arena_strdup(y->keep, n->text);
	return true;
}

bool config_yaml_u64(struct config_yaml *y, const struct config_yaml_node *n, uint64_t min,
		     uint64_t max, const char *word, uint64_t *ret)
{
	char expected[96];
	uint64_t v;
	int r;

	snprintf(expected, sizeof(expected), "a number from %llu to %llu%s%s",
		 (unsigned long long)min, (unsigned long long)max, word ? ", or " : "",
		 word ? word : "");
	if (!config_yaml_scalar(y, n, expected))
		return false;
	if (word && !strcmp(n->text, word)) {
		*ret = 0;
		return true;
	}
	r = text_parse_u64(n->text, min, max, &v);
	if (r) {
		config_yaml_error(y, n, "%s: '%s' is %s; expected %s", n->name,
				  config_yaml_show(y, n),
				  r == -ERANGE ? "out of range" : "no number", expected);
		return false;
	}
	*ret = v;
	return true;
}

static const char *print_ms(char buf[static 24], uint64_t ms)
{
	if (ms % 1000)
		snprintf(buf, 24, "%llums", (unsigned long long)ms);
	else
		snprintf(buf, 24, "%llus", (unsigned long long)(ms / 1000));
	return buf;
}

bool config_yaml_ms(struct config_yaml *y, const struct config_yaml_node *n, uint64_t min_ms,
		    uint64_t max_ms, const char *word, uint64_t *ret_ms)
{
	char expected[96], a[24], b[24];
	uint64_t v, bare;
	int r;

	snprintf(expected, sizeof(expected), "a time from %s to %s%s%s", print_ms(a, min_ms),
		 print_ms(b, max_ms), word ? ", or " : "", word ? word : "");
	if (!config_yaml_scalar(y, n, expected))
		return false;
	if (word && !strcmp(n->text, word)) {
		*ret_ms = 0;
		return true;
	}
	r = text_parse_duration_ms(n->text, min_ms, max_ms, &v);
	if (r) {
		bool unit = text_parse_u64(n->text, 0, UINT64_MAX, &bare) != 0;

		config_yaml_error(y, n, "%s: '%s' %s; expected %s", n->name, config_yaml_show(y, n),
				  !unit		 ? "has no unit (ms, s, m or h)"
				  : r == -ERANGE ? "is out of range"
						 : "is no time",
				  expected);
		return false;
	}
	*ret_ms = v;
	return true;
}

/* What YAML would have taken for a boolean. */
static const char *on_off_hint(const char *s, const char *const *words)
{
	static const char *const yes[] = {"yes",  "Yes", "YES", "true", "True",
					  "TRUE", "On",	 "ON",	"1",	"enabled"};
	static const char *const no[] = {"no",	  "No",	 "NO",	"false", "False",
					 "FALSE", "Off", "OFF", "0",	 "disabled"};
	size_t i, w;
	bool off = false;

	for (w = 0; words[w]; w++)
		off |= !strcmp(words[w], "off");
	for (i = 0; off && i < sizeof(no) / sizeof(no[0]); i++)
		if (!strcmp(s, no[i]))
			return "off";
	for (w = 0; words[w]; w++)
		for (i = 0; !strcmp(words[w], "on") && i < sizeof(yes) / sizeof(yes[0]); i++)
			if (!strcmp(s, yes[i]))
				return "on";
	return NULL;
}

bool config_yaml_word(struct config_yaml *y, const struct config_yaml_node *n,
		      const char *const *words, unsigned int *ret)
{
	char expected[128];
	const char *hint;
	size_t i, len = 0;

	for (i = 0; words[i] && len < sizeof(expected); i++)
		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s%s",
					i == 0	       ? ""
					: words[i + 1] ? ", "
						       : " or ",
					words[i]);
	if (!config_yaml_scalar(y, n, expected))
		return false;
	for (i = 0; words[i]; i++) {
		if (!strcmp(words[i], n->text)) {
			*ret = (unsigned int)i;
			return true;
		}
	}
	hint = on_off_hint(n->text, words);
	if (hint) {
		config_yaml_error(y, n, "%s: '%s' is not known; expected %s; write '%s'", n->name,
				  config_yaml_show(y, n), expected, hint);
		return false;
	}
	hint = text_nearest(n->text, words);
	config_yaml_error(y, n, "%s: '%s' is not known; expected %s%s%s%s", n->name,
			  config_yaml_show(y, n), expected, hint ? "; did you mean '" : "",
			  hint ? hint : "", hint ? "'?" : "");
	return false;
}

/* ---- lists ---- */

bool config_yaml_is_list(struct config_yaml *y, const struct config_yaml_node *n, size_t max,
			 const char *expected)
{
	if (n->kind != CONFIG_YAML_LIST)
		return config_yaml_scalar(y, n, expected);
	if (n->n > max) {
		config_yaml_error(y, n, "%s: %zu items; expected at most %zu", n->name, n->n, max);
		return false;
	}
	return true;
}

const struct config_yaml_node *config_yaml_first(const struct config_yaml_node *list)
{
	return list->kind == CONFIG_YAML_LIST ? list->first : list;
}

const struct config_yaml_node *config_yaml_next(const struct config_yaml_node *list,
						const struct config_yaml_node *item)
{
	return list->kind == CONFIG_YAML_LIST ? item->next : NULL;
}
