/* What the module uses of httpd and APR, and the prototypes of shim.c. Read by bindgen; build.rs holds the allow-list. */
#ifndef JK_WRAPPER_H
#define JK_WRAPPER_H

#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "http_connection.h"
#include "ap_mpm.h"
#include "ap_release.h"
#include "util_script.h"
#include "apr_buckets.h"
#include "apr_date.h"
#include "apr_file_io.h"
#include "apr_portable.h"
#include "apr_strings.h"
#include "apr_tables.h"

/* Writes one line to httpd's ErrorLog of `server` (or of the main server when it is NULL). */
void jk_shim_log(const char *file, int line, int module_index, int level, const server_rec *server, const char *text);

/* An empty brigade that is not emptied at the end of the pool: whoever fills it empties it. Without that, a cleanup of the pool is spared. */
apr_bucket_brigade *jk_shim_brigade(apr_pool_t *pool, apr_bucket_alloc_t *buckets);

/* Appends a bucket to a brigade. */
void jk_shim_insert_tail(apr_bucket_brigade *brigade, apr_bucket *bucket);

/* 1 when the brigade has no bucket. */
int jk_shim_brigade_is_empty(const apr_bucket_brigade *brigade);

/* The bucket behind `bucket`, or the first one when it is NULL; NULL at the end. */
apr_bucket *jk_shim_bucket_after(const apr_bucket_brigade *brigade, apr_bucket *bucket);

/* 1 when the bucket ends its stream. */
int jk_shim_bucket_is_eos(const apr_bucket *bucket);

/* The bytes of a bucket; they stay unchanged as long as the bucket is there, whatever the filters do. */
apr_status_t jk_shim_bucket_keep(apr_bucket *bucket, apr_pool_t *pool, const char **data, apr_size_t *length);

/* Has httpd write what it holds for the client, without waiting for a slow one. */
void jk_shim_write_what_is_held(conn_rec *connection);

#endif
