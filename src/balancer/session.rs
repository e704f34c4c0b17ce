//! Session id and route from a cookie or a path parameter.
