/* httpd's macros and variadic functions, made callable with plain arguments. Nothing here decides anything. */
#include "wrapper.h"

void jk_shim_log(const char *file, int line, int module_index, int level, const server_rec *server, const char *text)
{
    ap_log_error_(file, line, module_index, level, 0, server, "%s", text);
}

void jk_shim_insert_tail(apr_bucket_brigade *brigade, apr_bucket *bucket)
{
    APR_BRIGADE_INSERT_TAIL(brigade, bucket);
}

int jk_shim_brigade_is_empty(const apr_bucket_brigade *brigade)
{
    return APR_BRIGADE_EMPTY(brigade) ? 1 : 0;
}
