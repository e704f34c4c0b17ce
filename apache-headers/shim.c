/* httpd's macros and variadic functions, made callable with plain arguments. Nothing here decides anything. */
#include "wrapper.h"

void jk_shim_log(const char *file, int line, int module_index, int level, const server_rec *server, const char *text)
{
    ap_log_error_(file, line, module_index, level, 0, server, "%s", text);
}

apr_bucket_brigade *jk_shim_brigade(apr_pool_t *pool, apr_bucket_alloc_t *buckets)
{
    apr_bucket_brigade *brigade = apr_palloc(pool, sizeof(*brigade));
    brigade->p = pool;
    brigade->bucket_alloc = buckets;
    APR_RING_INIT(&brigade->list, apr_bucket, link);
    return brigade;
}

void jk_shim_insert_tail(apr_bucket_brigade *brigade, apr_bucket *bucket)
{
    APR_BRIGADE_INSERT_TAIL(brigade, bucket);
}

int jk_shim_brigade_is_empty(const apr_bucket_brigade *brigade)
{
    return APR_BRIGADE_EMPTY(brigade) ? 1 : 0;
}

apr_bucket *jk_shim_bucket_after(const apr_bucket_brigade *brigade, apr_bucket *bucket)
{
    apr_bucket *next = bucket ? APR_BUCKET_NEXT(bucket) : APR_BRIGADE_FIRST(brigade);
    return next == APR_BRIGADE_SENTINEL(brigade) ? NULL : next;
}

int jk_shim_bucket_is_eos(const apr_bucket *bucket)
{
    return APR_BUCKET_IS_EOS(bucket) ? 1 : 0;
}

apr_status_t jk_shim_bucket_keep(apr_bucket *bucket, apr_pool_t *pool, const char **data, apr_size_t *length)
{
    /* Kinds that cannot be set aside are turned into memory of their own by being read. */
    apr_status_t status = apr_bucket_setaside(bucket, pool);
    if (status != APR_SUCCESS && status != APR_ENOTIMPL)
        return status;
    return apr_bucket_read(bucket, data, length, APR_BLOCK_READ);
}

void jk_shim_write_what_is_held(conn_rec *connection)
{
    ap_filter_t *filter = connection->output_filters;
    while (filter && filter->next)
        filter = filter->next;
    /* Without a brigade the core's filter writes what it holds, as far as that goes without waiting. */
    if (filter && filter->frec == ap_core_output_filter_handle)
        filter->frec->filter_func.out_func(filter, NULL);
}
