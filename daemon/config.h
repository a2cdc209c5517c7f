/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * config: site.yaml -> struct config, or a diagnosis with line and column. Pure.
 * Schema and defaults: wgscale.yaml(5), DESIGN "Site file".
 */
#ifndef WGSCALE_CONFIG_H
#define WGSCALE_CONFIG_H

#include "model.h"

#define CONFIG_FILE_MAX (4u << 20) /* bytes of a site file or card */

#define CONFIG_DEFAULT_PORT_BASE  21820
#define CONFIG_DEFAULT_MARK_MASK  0x1fe00000u
#define CONFIG_DEFAULT_TABLE_BASE 21820
#define CONFIG_DEFAULT_RULE_BASE  1200
/* Beside the site file: /etc/wgscale/site.secret in the default place. */
#define CONFIG_DEFAULT_SECRET_FILE "site.secret"

/*
 * Parses `text` (len bytes; need not be NUL-terminated). `path` is for messages. *ret_config is
 * to be freed with config_free(); NULL when -EINVAL is returned, and then `diags` has an error.
 * Everything that can be said of the file alone is checked here; what needs the cards, keys or
 * the host is checked by site_build().
 *
 * File names in the result are relative to nothing: those that are relative in the file were put
 * behind the folder of `path`. A `..._at` of a key that is absent has line 0.
 */
int config_parse(const char *path, const char *text, size_t len, struct diags *diags,
		 struct config **ret_config);
void config_free(struct config *c);

#endif
